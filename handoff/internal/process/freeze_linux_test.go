package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroupWith makes a cgroup with one process in it.
func cgroupWith(t *testing.T, base, name string) (dir string) {
	t.Helper()
	dir = filepath.Join(base, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return dir
}

func frozen(t *testing.T, dir string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.freeze"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasPrefix(string(text), "1")
}

// TestFreeze: a cgroup stands still until it is thawed, by whoever froze it or by
// whoever comes after.
func TestFreeze(t *testing.T) {
	root := t.TempDir()
	if err := unix.Mount("none", root, "cgroup2", 0, ""); err != nil {
		t.Skipf("cgroup2 cannot be mounted (run the test as root): %v", err)
	}
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })
	base := filepath.Join(root, fmt.Sprintf("holdfast-freeze-%d", os.Getpid()))
	if err := os.Mkdir(base, 0o755); err != nil {
		t.Skipf("no cgroup can be made: %v", err)
	}
	t.Cleanup(func() { os.Remove(base) })
	first, second := cgroupWith(t, base, "gen-1"), cgroupWith(t, base, "gen-2")
	thaw, err := (&child{cgroup: &cgroup{dir: first}}).Freeze()
	if err != nil {
		t.Fatal(err)
	}
	if !frozen(t, first) || frozen(t, second) {
		t.Errorf("frozen: %v and %v", frozen(t, first), frozen(t, second))
	}
	thaw()
	if frozen(t, first) {
		t.Error("it is not thawed")
	}
	for _, dir := range []string{first, second} {
		if _, err := freeze(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := (&cgroups{base: base}).thaw(); err != nil || frozen(t, first) || frozen(t, second) {
		t.Errorf("after thaw: %v; %v and %v", err, frozen(t, first), frozen(t, second))
	}
	if _, err := freeze(filepath.Join(base, "none")); err == nil {
		t.Error("a cgroup that is not there is frozen")
	}
	if _, err := (&child{}).Freeze(); err == nil {
		t.Error("a generation without a cgroup is frozen")
	}
}
