package roots

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeScript stands in for mmdebstrap. It counts its runs.
const fakeScript = `#!/bin/sh
echo "$*" >>"$FAKE/runs"
case $FAKE_HOW in
fail) echo 'E: no such mirror' >&2; exit 1 ;;
hang) : >"$FAKE/hangs"; exec sleep 1000 ;;
empty) exit 0 ;;
esac
while [ "${1#--}" != "$1" ]; do shift; done
mkdir -p "$2/usr/bin" "$2/etc"
cp "$FAKE/systemctl" "$2/usr/bin/systemctl"
`

// fake puts a mmdebstrap of the test's own first on PATH.
func fake(t *testing.T) (dir string) {
	t.Helper()
	skip := func(why string) {
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if os.Geteuid() != 0 {
		skip("it takes root to run a program in another root folder")
	}
	if _, err := os.Stat(keyring); err != nil {
		skip("no keys of the Debian archive: " + err.Error())
	}
	dir = t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "systemctl"), "./testdata/systemctl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "mmdebstrap"), []byte(fakeScript), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("FAKE", dir)
	return dir
}

func runs(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadFile(filepath.Join(dir, "runs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(list), "\n")
}

func TestBuildOnceForEachRecipe(t *testing.T) {
	dir := fake(t)
	folder := filepath.Join(t.TempDir(), "made", "here")
	r := Recipes[2]
	for i, c := range []struct {
		recipe Recipe
		o      Options
		built  bool
	}{
		{r, Options{}, true},
		{r, Options{}, false},
		{r, Options{Force: true}, true},
		{Recipe{Name: r.Name, Suite: "other"}, Options{}, true},
		{Recipe{Name: r.Name, Suite: "other"}, Options{}, false},
		{r.With([]string{"starman"}), Options{}, true}, // beside it
		{r.With([]string{"starman"}), Options{}, false},
		{Recipe{Name: r.Name, Suite: "other"}, Options{Mirror: "http://mirror"}, true},
	} {
		built, err := c.recipe.Build(t.Context(), folder, c.o)
		if err != nil || built != c.built {
			t.Fatalf("step %d: built %t, %v, want %t", i, built, err, c.built)
		}
		if v, err := Version(t.Context(), r.Path(folder)); err != nil || v != 299 {
			t.Errorf("step %d: version %d, %v", i, v, err)
		}
	}
	if got := runs(t, dir); got != 5 {
		t.Errorf("mmdebstrap ran %d times, want 5", got)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 3 { // the roots and the lock
		t.Errorf("the folder holds %v, %v", entries, err)
	}
}

// TestBackports: what a later release brings is named, each package, and the root's
// own release is preferred for the rest.
func TestBackports(t *testing.T) {
	dir := fake(t)
	folder := t.TempDir()
	r := Recipe{Name: "1", Suite: "old", Later: "new", Backports: map[string][]string{"b": {"b", "libb"}}}
	for _, c := range []struct {
		packages   []string
		has, lacks string
	}{
		{[]string{"a"}, "python3,a --aptopt", "Default-Release"},
		{[]string{"a", "b", "c"}, "python3,a,b/new,libb/new,c --aptopt", ",b,"},
		{[]string{"b"}, ` --aptopt=APT::Default-Release "old" --setup-hook=` + mergedUsr + " old ", ",b,"},
		{[]string{"b", "a"}, "/new deb http://mirror old main deb http://mirror new main", " old http"},
	} {
		r := r.With(c.packages)
		if built, err := r.Build(t.Context(), folder, Options{Mirror: "http://mirror"}); err != nil || !built {
			t.Fatalf("%q: built %t, %v", c.packages, built, err)
		}
		list, err := os.ReadFile(filepath.Join(dir, "runs"))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(list)), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, c.has) || strings.Contains(last, c.lacks) {
			t.Errorf("%q: mmdebstrap %s\nwant %q and not %q in it", c.packages, last, c.has, c.lacks)
		}
	}
}

func TestBuildThatFailsKeepsTheOldRoot(t *testing.T) {
	dir := fake(t)
	folder := t.TempDir()
	r := Recipes[0]
	if _, err := r.Build(t.Context(), folder, Options{}); err != nil {
		t.Fatal(err)
	}
	for how, want := range map[string]string{"fail": "E: no such mirror", "empty": "the new root does not work", "hang": "context canceled"} {
		t.Setenv("FAKE_HOW", how)
		ctx, cancel := context.WithCancel(t.Context())
		if how == "hang" {
			go func() {
				for ctx.Err() == nil {
					if _, err := os.Stat(filepath.Join(dir, "hangs")); err == nil {
						cancel()
					}
					time.Sleep(time.Millisecond)
				}
			}()
		}
		_, err := r.Build(ctx, folder, Options{Force: true})
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "systemd-247") {
			t.Errorf("%s: error %v, want %q in it", how, err, want)
		}
		if v, err := Version(t.Context(), r.Path(folder)); err != nil || v != 299 {
			t.Errorf("%s: the old root says %d, %v", how, v, err)
		}
		if left, _ := filepath.Glob(filepath.Join(folder, aside+"*")); len(left) > 0 {
			t.Errorf("%s: left %q", how, left)
		}
	}
}

func TestBuildRemovesWhatAKilledOneLeft(t *testing.T) {
	fake(t)
	folder := t.TempDir()
	left := filepath.Join(folder, aside+"1")
	if err := os.MkdirAll(filepath.Join(left, "new/usr"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Recipes[1].Build(t.Context(), folder, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

func TestBuildWaitsForAnother(t *testing.T) {
	fake(t)
	folder := t.TempDir()
	f, err := os.Create(filepath.Join(folder, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := Recipes[1].Build(ctx, folder, Options{}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process builds") {
		t.Errorf("beside another build: %v", err)
	}
}

func TestBuildNamesTheMissingTool(t *testing.T) {
	fake(t)
	t.Setenv("PATH", t.TempDir())
	_, err := Recipes[0].Build(t.Context(), t.TempDir(), Options{})
	if err == nil || !strings.Contains(err.Error(), "apt-get install mmdebstrap") {
		t.Errorf("without mmdebstrap: %v", err)
	}
}
