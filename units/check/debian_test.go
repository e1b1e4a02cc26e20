package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDebian: what is found in the units of Debian's packages is in the golden file, line
// by line, with our judgement beside it where somebody has reviewed it.
func TestDebian(t *testing.T) {
	golden, err := os.ReadFile("testdata/debian.txt")
	if err != nil {
		t.Fatal(err)
	}
	var packages []debianPackage
	var want []string
	for line := range strings.Lines(string(golden)) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case line == "" || line[0] == '#':
		case fields[0] == "package":
			packages = append(packages, debianPackage{fields[1], fields[2], fields[3]})
		default:
			want = append(want, line)
		}
	}
	corpus, err := corpusFolder()
	if err != nil {
		t.Fatal(err)
	}
	there := fetchCorpus(t, corpus, packages)
	t.Logf("%d of %d packages", len(there), len(packages))
	var got []string
	names := make(map[string]bool)
	for _, p := range there {
		names[p.name] = true
		for _, kind := range []string{"system", "user"} {
			dir := filepath.Join(p.folder(corpus), kind)
			sockets, err := filepath.Glob(dir + "/*.socket")
			if err != nil {
				t.Fatal(err)
			}
			if len(sockets) == 0 {
				continue
			}
			for i, path := range sockets {
				sockets[i] = filepath.Base(path)
			}
			pairs, err := Load(Folders{Dirs: []string{dir}, User: kind == "user"}, sockets...)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range Check(pairs, Options{Systemd: 252}) {
				path, err := filepath.Rel(p.folder(corpus), f.File)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%v %s %s/%s:%d", f.Severity, f.Rule, p.name, filepath.ToSlash(path), f.Line))
			}
		}
	}
	want = slices.DeleteFunc(want, func(line string) bool { // of packages that are not there
		name, _, _ := strings.Cut(strings.Fields(line)[2], "/")
		return !names[name]
	})
	slices.Sort(got)
	slices.Sort(want)
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("not in the golden file: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("not found any more: %s", line)
		}
	}
	if len(got) != len(want) || len(got) < len(there)/2 {
		t.Errorf("%d findings, want %d", len(got), len(want))
	}
}
