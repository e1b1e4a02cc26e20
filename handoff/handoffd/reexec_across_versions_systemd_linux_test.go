package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// before is the commit of a handoffd whose state was one struct, and that refuses every
// key that it does not know.
const before = "807738288cd9e57e731aceceb9776c181d554647"

// buildFrom builds the handoffd of a commit, or skips the test where the history of the
// repository does not go back so far.
func buildFrom(t *testing.T, commit string) string {
	t.Helper()
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err == nil {
		err = exec.Command("git", "cat-file", "-e", commit+"^{commit}").Run()
	}
	if err != nil {
		t.Skipf("commit %s is not here: %v; get it by git fetch --unshallow", commit, err)
	}
	dir := t.TempDir()
	archive := exec.Command("git", "archive", commit)
	archive.Dir = strings.TrimSpace(string(top))
	tar, err := archive.Output()
	if err != nil {
		t.Fatal(err)
	}
	run := func(in []byte, name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", cmd, err, out)
		}
	}
	run(tar, "tar", "-x")
	path := filepath.Join(t.TempDir(), "handoffd")
	run(nil, "go", "build", "-o", path, "./handoff/handoffd")
	return path
}

// lasting leaves out what a generation may have more of at any moment.
func lasting(generations []control.Generation) (list []control.Generation) {
	for _, g := range generations {
		g.CPUUSec, g.Memory, g.Carried = 0, 0, 0
		list = append(list, g)
	}
	return list
}

// TestReexecAcrossVersions: handoffd of before is replaced by this one, and back, under
// load, with a predecessor that drains, and nobody notices. Each goes on with what the
// other one has left: a reload works, and what was stored is there after a restart.
func TestReexecAcrossVersions(t *testing.T) {
	const clients = 16
	old := buildFrom(t, before)
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		verbs(t, m)
		now := systemdtest.Build(t, ".")
		m.InstallFile("/usr/local/bin/handoffd", old, 0o755)
		begin(t, m, "")
		main := m.Property(service, "MainPID")
		reexecs := uint64(0)
		reexec := func(to string) {
			t.Helper()
			generations := handoffdStatus(t, m).Generations
			replaceHandoffd(m, func(path string) { m.InstallFile(path, to, 0o755) })
			if out, err := runVerb(t, m, "reexec"); err != nil {
				t.Fatalf("reexec: %v: %s", err, out)
			}
			reexecs++
			after := handoffdStatus(t, m)
			if after.Reexecs != reexecs || fmt.Sprint(after.PID) != main {
				t.Errorf("after %d times the status is %+v", reexecs, after)
			}
			if before, after := lasting(generations), lasting(after.Generations); !slices.Equal(before, after) {
				t.Errorf("before, the generations were %+v, and after %+v", before, after)
			}
			want, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(m.Path("/proc/" + main + "/exe")); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the service is not %s: %v", to, err)
			}
		}
		reload := func() {
			t.Helper()
			if out, err := runVerb(t, m, "reload"); err != nil {
				t.Fatalf("reload: %v: %s", err, out)
			}
		}
		o := loadtest.Options{Clients: clients, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
		result := underLoad(t, m, o, func(load *loadtest.Load) {
			progress(t, load, 200)
			for _, to := range []string{now, old, now, old} {
				u := startUpload(t, m)
				reload() // its generation drains as long as it takes
				reexec(to)
				progress(t, load, 200)
				if got, err := u.finish(); err != nil {
					t.Errorf("the upload ends with %q, %v", got, err)
				}
				poll.Until(t, "one generation", func() bool { return len(handoffdStatus(t, m).Generations) == 1 })
				reload()
				progress(t, load, 200)
			}
			reexec(now)
			m.Systemctl("restart", service) // what was stored is there
			progress(t, load, 200)
		})
		if c := result.Total.Counts; c.Reconnected != 0 || c.Connections != clients {
			t.Errorf("%d clients opened %d connections, %d of them anew", clients, c.Connections, c.Reconnected)
		}
		if n := m.Property(service, "NRestarts"); n != "0" {
			t.Errorf("the unit was restarted %s times", n)
		}
	})
}
