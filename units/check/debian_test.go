package check

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDebian: what is found in the unit files of Debian packages is in the golden
// file, line by line, and each line was reviewed: there is no false alarm among them.
func TestDebian(t *testing.T) {
	const root = "testdata/debian"
	golden, err := os.ReadFile(filepath.Join(root, "golden.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(golden)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			want = append(want, line)
		}
	}
	dirs, err := filepath.Glob(root + "/*/*")
	if err != nil || len(dirs) < 30 {
		t.Fatalf("%d folders of units: %v", len(dirs), err)
	}
	var got []string
	for _, dir := range dirs {
		sockets, err := filepath.Glob(dir + "/*.socket")
		if err != nil || len(sockets) == 0 {
			t.Fatalf("%s: no sockets: %v", dir, err)
		}
		for i, path := range sockets {
			sockets[i] = filepath.Base(path)
		}
		pairs, err := Load(Folders{Dirs: []string{dir}, User: filepath.Base(dir) == "user"}, sockets...)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range Check(pairs, Options{Systemd: 252}) {
			path, err := filepath.Rel(root, f.File)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%v %s %s:%d", f.Severity, f.Rule, filepath.ToSlash(path), f.Line))
		}
	}
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
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d", len(got), len(want))
	}
}
