package systemdtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var builds struct {
	sync.Mutex
	dir  string
	done map[string]string
}

// Build compiles the main package pkg without cgo and returns the program's
// path on the host. Within one process a package is built once.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return build(t, pkg, "build")
}

// BuildTest compiles the test binary of the package under test without cgo.
func BuildTest(t testing.TB) string {
	t.Helper()
	return build(t, ".", "test", "-c")
}

func build(t testing.TB, pkg string, args ...string) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatalf("systemdtest: build %s: %v", pkg, err)
	}
	builds.Lock()
	defer builds.Unlock()
	key := strings.Join(append(args, wd, pkg), " ")
	if path, ok := builds.done[key]; ok {
		return path
	}
	if builds.dir == "" {
		if builds.dir, err = os.MkdirTemp("", "holdfast-build-"); err != nil {
			t.Fatalf("systemdtest: build %s: %v", pkg, err)
		}
		builds.done = make(map[string]string)
	}
	path := filepath.Join(builds.dir, fmt.Sprint(len(builds.done)), "program")
	cmd := exec.Command("go", append(args, "-o", path, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("systemdtest: build %s: %v\n%s", pkg, err, out)
	}
	builds.done[key] = path
	return path
}
