package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// many writes n pairs into a folder, each with a drop-in, and returns the names of their
// services.
func many(t testing.TB, n int) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		name := fmt.Sprintf("app%d", i)
		names = append(names, name+".service")
		for file, text := range map[string]string{
			name + ".socket":           fmt.Sprintf("[Socket]\nListenStream=%d\nListenStream=/run/%s.sock\nFlushPending=yes\n[Install]\nWantedBy=sockets.target\n", 1+i%65535, name),
			name + ".service":          "[Unit]\nWants=" + name + ".socket\nAfter=" + name + ".socket\n[Service]\nType=notify\nExecStart=/usr/local/bin/app -drain-timeout 20s\n",
			name + ".service.d/a.conf": "[Service]\nNonBlocking=yes\nKillMode=mixed\n",
		} {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir, names
}

// BenchmarkCheck loads and checks so many pairs of one folder. The time of each pair is
// the same for all numbers.
func BenchmarkCheck(b *testing.B) {
	for _, n := range []int{50, 500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir, names := many(b, n)
			for b.Loop() {
				pairs, err := Load(Folders{Dirs: []string{dir}}, names...)
				if err != nil || len(pairs) != n {
					b.Fatalf("%d pairs, %v", len(pairs), err)
				}
				if findings := Check(pairs, Options{}); len(findings) < n {
					b.Fatalf("%d findings", len(findings))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/pair")
		})
	}
}

// TestEachFileOnce: an Index reads each file once, whatever is asked of it.
func TestEachFileOnce(t *testing.T) {
	dir, names := many(t, 20)
	src := Folders{Dirs: []string{dir}}.Index()
	load := func() string {
		pairs, err := Load(src, names...)
		if err != nil || len(pairs) != len(names) {
			t.Fatalf("%d pairs, %v", len(pairs), err)
		}
		return fmt.Sprint(Check(pairs, Options{}))
	}
	before := load()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if after := load(); after != before || !strings.Contains(after, "flush-pending") {
		t.Errorf("with the files gone:\n%s\nwant\n%s", after, before)
	}
}
