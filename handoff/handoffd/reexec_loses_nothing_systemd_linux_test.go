package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// buildWith builds a handoffd in which a variable has another value.
func buildWith(t *testing.T, variable, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "handoffd")
	cmd := exec.Command("go", "build", "-o", path, "-ldflags", "-X "+variable+"="+value, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// replaceHandoffd puts another program into handoffd's place, as a package manager
// does: what runs stays what it was.
func replaceHandoffd(m *systemdtest.Machine, put func(path string)) {
	const next = "/usr/local/bin/handoffd.new"
	put(next)
	m.Output("mv", next, "/usr/local/bin/handoffd")
}

// handoffdStatus is that of the service.
func handoffdStatus(t *testing.T, m *systemdtest.Machine) (s control.Status) {
	t.Helper()
	out, err := runVerb(t, m, "status", "--json")
	if err = notDown(err); err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		t.Fatalf("status: %v: %s", err, out)
	}
	return s
}

// verbs installs a handoffd for verbs, which stays when the service's is replaced.
func verbs(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	m.InstallFile("/usr/local/bin/verb", systemdtest.Build(t, "."), 0o755)
}

// runVerb runs what verbs has installed.
func runVerb(t *testing.T, m *systemdtest.Machine, args ...string) (string, error) {
	t.Helper()
	return verbOf(t, m, "/usr/local/bin/verb", args...)
}

// rain sends a signal to the main process, one every 10 ms, while f runs.
func rain(t *testing.T, m *systemdtest.Machine, signal, pid string, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := m.Command(ctx, "python3", "-c", `
import os, sys, time
n = 0
while True:
    os.kill(int(sys.argv[2]), int(sys.argv[1]))
    n += 1
    if n == 10: print("rains", flush=True)
    time.sleep(0.01)
`, signal, pid)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		cmd.Wait()
	}()
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatalf("signal %s could not be sent to %s: %v", signal, pid, err)
	}
	f()
}

// TestReexecUnderLoad: handoffd replaces itself over and over while signals rain,
// and nobody notices.
func TestReexecUnderLoad(t *testing.T) {
	const times, clients = 50, 16
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		verbs(t, m)
		begin(t, m, "")
		before := handoffdStatus(t, m)
		main := m.Property(service, "MainPID")
		theirs := descriptors(t, m, fmt.Sprint(before.Generations[0].PID))
		reexec := func() {
			t.Helper()
			if out, err := runVerb(t, m, "reexec"); err != nil {
				t.Fatalf("reexec: %v: %s", err, out)
			}
		}
		o := loadtest.Options{Clients: clients, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
		result := underLoad(t, m, o, func(load *loadtest.Load) {
			progress(t, load, 500)
			reexec()
			ours := descriptors(t, m, main)
			rain(t, m, "12", main, func() {
				poll.Until(t, fmt.Sprint(times, " times"), func() bool { return handoffdStatus(t, m).Reexecs >= times })
			})
			progress(t, load, 500)
			after := handoffdStatus(t, m)
			t.Logf("handoffd was replaced %d times; it had %d descriptors, and has %d", after.Reexecs, ours, descriptors(t, m, main))
			if len(after.Generations) != 1 || after.Generations[0].PID != before.Generations[0].PID || fmt.Sprint(after.PID) != main {
				t.Errorf("before, it was %+v, and after %+v", before, after)
			}
			poll.Until(t, "as many descriptors as in the beginning", func() bool { return descriptors(t, m, main) <= ours+slack })
			// Reloads rain, and it goes on being replaced.
			rain(t, m, "35", main, func() {
				for range 5 {
					reexec()
					progress(t, load, 100)
				}
				poll.Until(t, "reloads", func() bool {
					g := handoffdStatus(t, m).Generations
					return len(g) > 0 && g[len(g)-1].Number >= 5
				})
			})
			poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 && len(handoffdStatus(t, m).Generations) == 1 })
			last := handoffdStatus(t, m)
			if n := descriptors(t, m, fmt.Sprint(last.Generations[0].PID)); n > theirs+clients+slack {
				t.Errorf("generation %d has %d descriptors, and the first had %d", last.Generations[0].Number, n, theirs)
			}
			progress(t, load, 500)
			m.Systemctl("restart", service) // what was stored is there
			progress(t, load, 500)
		})
		if c := result.Total.Counts; c.Reconnected != 0 || c.Connections != clients {
			t.Errorf("%d clients opened %d connections, %d of them anew", clients, c.Connections, c.Reconnected)
		}
		if n := m.Property(service, "NRestarts"); n != "0" {
			t.Errorf("the unit was restarted %s times", n)
		}
	})
}

// TestReexecToBadPrograms: what cannot go on does not take over, and what can does.
func TestReexecToBadPrograms(t *testing.T) {
	const module = "github.com/holdfast-go/holdfast/handoff/"
	alien := buildWith(t, module+"internal/reexec.stateVersion", "99")
	newer := buildWith(t, "main.version", "2.0.0")
	script := func(m *systemdtest.Machine, mode os.FileMode, text string) func(string) {
		return func(path string) { m.WriteFile(path, []byte(text), mode) }
	}
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		verbs(t, m)
		begin(t, m, "")
		main := m.Property(service, "MainPID")
		pid := handoffdStatus(t, m).Generations[0].PID
		for _, c := range []struct {
			name string
			put  func(path string)
			want string
		}{
			{"not executable", script(m, 0o644, "#!/bin/sh\n"), "permission denied"},
			{"no program", script(m, 0o755, "nonsense\n"), "exec format error"},
			{"exits at once", script(m, 0o755, "#!/bin/sh\necho a library is missing >&2\nexit 3\n"), "a library is missing"},
			{"is killed", script(m, 0o755, "#!/bin/sh\nkill -KILL $$\n"), "signal 9"},
			{"another program", script(m, 0o755, "#!/bin/sh\nexit 0\n"), "another program"},
			{"reads another state", func(path string) { m.InstallFile(path, alien, 0o755) }, `version "1", and this program reads "99"`},
		} {
			replaceHandoffd(m, c.put)
			out, err := runVerb(t, m, "reexec")
			if code := exitCode(t, err); code != exitUndone || !strings.Contains(out, c.want) {
				t.Errorf("%s: reexec exits with %d, want %d and %q: %s", c.name, code, exitUndone, c.want, out)
			}
			if s := handoffdStatus(t, m); s.Reexecs != 0 || s.Situation != "serving" || s.Generations[0].PID != pid {
				t.Errorf("%s: the status is %+v", c.name, s)
			}
		}
		replaceHandoffd(m, func(path string) { m.InstallFile(path, newer, 0o755) })
		if out, err := runVerb(t, m, "reexec"); err != nil {
			t.Errorf("reexec: %v: %s", err, out)
		}
		if s := handoffdStatus(t, m); s.Version != "2.0.0" || s.Reexecs != 1 || s.Generations[0].PID != pid {
			t.Errorf("the status is %+v", s)
		}
		m.Systemctl("reload", service)
		poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
		if now := m.Property(service, "MainPID"); now != main {
			t.Errorf("the main PID is %s, was %s", now, main)
		}
	})
}

// TestStopWhileReexec: a stop is not lost, whenever it comes.
func TestStopWhileReexec(t *testing.T) {
	const times = 8
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		verbs(t, m)
		begin(t, m, "[Service]\nRestart=no\n")
		for i := range times {
			m.Systemctl("start", service)
			rain(t, m, "12", m.Property(service, "MainPID"), func() {
				poll.Until(t, "a reexec", func() bool { return handoffdStatus(t, m).Reexecs > 0 })
				time.Sleep(time.Duration(i) * 5 * time.Millisecond) // so that it comes at different moments
				m.Systemctl("stop", service)
			})
			if state, result := m.Property(service, "ActiveState"), m.Property(service, "Result"); state != "inactive" || result != "success" {
				t.Fatalf("stop %d: the service is %s, and its result %s", i, state, result)
			}
		}
		if log := m.Journal("-u", service); strings.Contains(log, "SIGKILL") {
			t.Errorf("handoffd was killed:\n%s", log)
		}
	})
}
