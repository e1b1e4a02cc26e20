package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMan: each page tells all that --help tells, of commands that have no page of
// their own in that of handoffd.
func TestMan(t *testing.T) {
	root := newCommand(io.Discard, io.Discard)
	// Of man(7), which the pages are written for.
	plain := strings.NewReplacer(`\e`, `\`, `\-`, "-", "\n\\&", "\n")
	pages := make(map[string]string)
	for _, args := range []string{"man", "man unit", "man handoffd"} {
		out, code := verb(t, strings.Fields(args)...)
		if code != exitDone || !strings.HasPrefix(out, ".TH ") {
			t.Fatalf("%s exits with %d: %s", args, code, out)
		}
		pages[args] = out
	}
	if pages["man"] != pages["man handoffd"] || pages["man"] == pages["man unit"] {
		t.Error("a page is that of another command")
	}
	for _, c := range root.Commands {
		page := plain.Replace(pages["man"])
		if manPages[c.Name] != 0 {
			page, _ = verb(t, "man", c.Name)
			page = plain.Replace(page)
		} else if !strings.Contains(page, "\n.SS "+c.Name) {
			t.Errorf("handoffd(8) does not tell of %s", c.Name)
		}
		wants := strings.Split(c.Description, "\n")
		for _, f := range c.Flags {
			name, usage, _ := strings.Cut(f.String(), "\t")
			wants = append(wants, strings.TrimSpace(name), strings.TrimSpace(usage))
		}
		help, _ := verb(t, c.Name, "--help")
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("the page of %s lacks %q", c.Name, want)
			}
			if !strings.Contains(help, want) {
				t.Errorf("the help of %s lacks %q", c.Name, want)
			}
		}
	}
	for _, c := range []struct{ args, want string }{{"man nonsense", `no page of "nonsense"`}, {"man run", `no page of "run"`}, {"man a b", `unexpected argument "b"`}} {
		if out, code := verb(t, strings.Fields(c.args)...); code != exitUsage || !strings.Contains(out, c.want) {
			t.Errorf("%s exits with %d: %s", c.args, code, out)
		}
	}
}

// TestManIsClean: groff has nothing to say about the pages.
func TestManIsClean(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skipf("no groff to read the pages: %v", err)
	}
	for name := range manPages {
		page, code := verb(t, "man", name)
		if code != exitDone {
			continue
		}
		cmd := exec.Command(groff, "-man", "-ww", "-Tutf8")
		cmd.Stdin = strings.NewReader(page)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil || said.Len() > 0 {
			t.Errorf("%s: %v: %s", name, err, said.String())
		}
		if !strings.Contains(string(out), "Holdfast") {
			t.Errorf("%s becomes %s", name, out)
		}
	}
}
