package programs

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units"
)

var update = flag.Bool("update", false, "write the table into README.md")

// page is the table as README.md has it.
func page() string {
	var b strings.Builder
	b.WriteString("| program | `--for` | takes its sockets by | stop signal, readiness | a client on a kept connection | lost with handoffd | lost in its own way |\n|---|---|---|---|---|---|---|\n")
	for _, p := range All() {
		if p.Cannot != "" {
			fmt.Fprintf(&b, "| %s | `%s` | cannot: %s | | | | %s |\n", p.Title, p.Name, p.Cannot, p.Native)
			continue
		}
		ends := "TERM"
		if p.StopSignal != "" {
			ends = p.StopSignal
		}
		if p.Ready != "" {
			ends += ", " + p.Ready
		}
		ours, theirs := "not tried", p.Native
		if len(p.Measured) > 0 {
			ours, theirs = "", p.Native+": "
		}
		for i, m := range p.Measured {
			if i > 0 {
				ours, theirs = ours+"<br>", theirs+"<br>"
			}
			ours += cell(m.Systemd, m.Handoffd)
			theirs += cell(m.Systemd, m.Native)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s | %s | %s |\n", p.Title, p.Name, p.Sockets, ends, p.Kept, ours, theirs)
	}
	return b.String()
}

// cell is what clients lost on one systemd.
func cell(systemd int, l Lost) string {
	text := fmt.Sprintf("%d: %v", systemd, l.New)
	if l.Kept.Of > 0 {
		text += fmt.Sprintf("; kept %v", l.Kept)
	}
	return text
}

// TestPage: the page's table is that of the package.
func TestPage(t *testing.T) {
	const file, begin, end = "README.md", "<!-- the table: go test ./units/programs -run TestPage -update -->\n", "<!-- its end -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	old, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", file)
	}
	switch {
	case old == page():
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+page()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table in %s is not that of table.go: go test ./units/programs -run TestPage -update", file)
	}
}

// TestDescribes: each row that does not say 'cannot' renders a pair, and the others say
// why not.
func TestDescribes(t *testing.T) {
	rendered := 0
	for _, p := range All() {
		d := units.Description{Name: "app", Kind: units.KindHandoffd, Command: []string{"/usr/bin/app"}, Sockets: []units.Socket{{Name: "http", Network: "tcp", Address: "127.0.0.1:80"}}}
		d, err := p.Describe(d)
		if p.Cannot != "" {
			if err == nil || !strings.Contains(err.Error(), p.Cannot) {
				t.Errorf("%s: error %v, want one that says why", p.Name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if _, err := units.Render(d); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		rendered++
	}
	if rendered < 12 {
		t.Errorf("only %d rows render a pair", rendered)
	}
}

// TestDescribe: what the row says is filled in, and what a person says stays.
func TestDescribe(t *testing.T) {
	one := []units.Socket{{Name: "http", Network: "tcp", Address: "127.0.0.1:80"}}
	two := append(slices.Clone(one), units.Socket{Name: "fpm", Network: "unix", Address: "/run/a.sock"})
	for _, c := range []struct {
		program string
		d       units.Description
		command []string
		ready   string
		err     string
	}{
		{program: "nginx", d: units.Description{Sockets: one}, ready: "accept", command: []string{"/usr/bin/env", "NGINX=3;", "/usr/sbin/nginx", "-g", "daemon off; master_process on;"}},
		{program: "nginx", d: units.Description{Kind: units.KindDropIn, Command: []string{"/opt/nginx"}}, ready: "accept", command: []string{"/usr/bin/env", "NGINX=3;", "/opt/nginx"}},
		{program: "nginx", d: units.Description{Sockets: two, Ready: "alive:2s"}, ready: "alive:2s", command: []string{"/usr/bin/env", "NGINX=3;4;", "/usr/sbin/nginx", "-g", "daemon off; master_process on;"}},
		{program: "php-fpm", d: units.Description{Sockets: two, Command: []string{"/fpm"}}, ready: "notify", command: []string{"/usr/bin/env", "FPM_SOCKETS=127.0.0.1:80=3,/run/a.sock=4", "/fpm"}},
		{program: "php-fpm", d: units.Description{Kind: units.KindDropIn, Command: []string{"/fpm"}}, err: "give each as --listen"},
		{program: "gunicorn", d: units.Description{Sockets: one}, err: "as in -- /usr/bin/gunicorn app:app"},
		{program: "gunicorn", d: units.Description{Kind: units.KindStore, Command: []string{"/g"}}, err: "does without handoffd"},
		{program: "redis", d: units.Description{Sockets: one}, err: "Redis cannot: it binds"},
	} {
		p, err := Find(c.program)
		if err != nil {
			t.Fatal(err)
		}
		if c.d.Kind == "" {
			c.d.Kind = units.KindHandoffd
		}
		d, err := p.Describe(c.d)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.program, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(d.Command, c.command) || d.Ready != c.ready {
			t.Errorf("%s: %q, ready %s, %v; want %q, %s", c.program, d.Command, d.Ready, err, c.command, c.ready)
		}
	}
	if _, err := Find("apche"); err == nil || !strings.Contains(err.Error(), "apache") {
		t.Errorf("an unknown name: %v", err)
	}
}
