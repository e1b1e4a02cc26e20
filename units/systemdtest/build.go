package systemdtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildTimeout bounds one run of the go command.
const buildTimeout = 10 * time.Minute

var builds struct {
	sync.Mutex
	folder string
	done   map[string]string // by working folder and command
}

// Build compiles the main package pkg and returns the program's path on the
// host, for InstallFile. It is compiled without cgo, so that it runs in every
// root whatever its C library. A package is an import path, or a path such as
// "./testdata/server"; either is looked up from the working folder, which is the
// folder of the package under test. A process builds each package once and
// removes them all after its end.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return build(t, pkg, "build")
}

// BuildTest compiles the test binary of the package under test as Build does:
// a test whose helper processes are its own binary can run them inside.
func BuildTest(t testing.TB) string {
	t.Helper()
	return build(t, ".", "test", "-c")
}

func build(t testing.TB, pkg string, verb ...string) string {
	t.Helper()
	path, err := buildOnce(pkg, verb)
	refuse(t, err)
	return path
}

func buildOnce(pkg string, verb []string) (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	builds.Lock()
	defer builds.Unlock()
	key := strings.Join(append([]string{wd, pkg}, verb...), "\x00")
	if path, ok := builds.done[key]; ok {
		return path, nil
	}
	if builds.folder == "" {
		if builds.folder, err = buildFolder(); err != nil {
			return "", fmt.Errorf("build %s: %w", pkg, err)
		}
		builds.done = make(map[string]string)
	}
	path := filepath.Join(builds.folder, fmt.Sprint(len(builds.done)), "program")
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(verb, "-o", path, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	// A library's compiled form is not executable; of no test files comes nothing.
	if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
		return "", fmt.Errorf("%s: package %s makes no program", strings.Join(cmd.Args, " "), pkg)
	}
	builds.done[key] = path
	return path, nil
}
