package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestReexecKeepsCalls: who waits for a verdict gets it from the new handoffd.
func TestReexecKeepsCalls(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		verbs(t, m)
		// A generation does not get further than its start before it may.
		const path, may = "/usr/local/bin/next", "/etc/may"
		program := func(then string) {
			t.Helper()
			m.WriteFile(path, []byte("#!/bin/sh\nuntil [ -e "+may+" ]; do sleep 0.02; done\n"+then+"\n"), 0o755)
		}
		const good = "exec /usr/local/bin/holdfast-http"
		program(good)
		m.WriteFile(may, nil, 0o644)
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- "+path+"\n")
		reexec := func() {
			t.Helper()
			if out, err := handoffd(t, m, "reexec"); err != nil {
				t.Fatalf("reexec: %v: %s", err, out)
			}
		}
		// asked runs a verb, and reexec while it waits for the start.
		asked := func(args ...string) (string, int) {
			t.Helper()
			m.Output("rm", may)
			type result struct {
				out string
				err error
			}
			ended := make(chan result, 1)
			go func() {
				out, err := runVerb(t, m, args...)
				ended <- result{out, err}
			}()
			poll.Until(t, "a start", func() bool { return handoffdStatus(t, m).Situation == "starting" })
			reexec()
			m.WriteFile(may, nil, 0o644)
			r := <-ended
			return r.out, exitCode(t, r.err)
		}
		if out, code := asked("reload"); code != 0 || !strings.Contains(out, "generation 2: done") {
			t.Errorf("reload exits with %d: %s", code, out)
		}
		program("echo sorry >&2\nexit 7")
		if out, code := asked("reload"); code != exitUndone || !strings.Contains(out, "exit status 7") || !strings.Contains(out, "sorry") {
			t.Errorf("reload exits with %d: %s", code, out)
		}
		program(good)
		if out, code := asked("reload", "--hold"); code != 0 || !strings.Contains(out, "generation 4: held") {
			t.Errorf("reload --hold exits with %d: %s", code, out)
		}
		reexec()
		if s := handoffdStatus(t, m); s.Situation != "ready" || len(s.Generations) != 2 || s.Reexecs != 4 {
			t.Errorf("the status is %+v", s)
		}
		if out, err := handoffd(t, m, "commit"); err != nil {
			t.Errorf("commit: %v: %s", err, out)
		}
		poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
		if state := m.Property(service, "ActiveState"); state != "active" {
			t.Errorf("the service is %s", state)
		}
	})
}

// TestReexecKeepsWatch: generations are watched as before, and so is handoffd.
func TestReexecKeepsWatch(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		verbs(t, m)
		const limit = 4 * time.Second
		begin(t, m, fmt.Sprintf("[Service]\nWatchdogSec=%v\nExecStart=\nExecStart=/usr/local/bin/handoffd run --drain-timeout 1s -- /usr/local/bin/holdfast-http\n", limit.Seconds()))
		if out, err := handoffd(t, m, "reexec"); err != nil {
			t.Fatalf("reexec: %v: %s", err, out)
		}
		first := handoffdStatus(t, m).Generations[0].PID
		time.Sleep(limit + limit/2) // nothing happens, or there would be another
		if s := handoffdStatus(t, m); len(s.Generations) != 1 || s.Generations[0].PID != first {
			t.Errorf("the status is %+v", s)
		}
		another := func(what string) {
			t.Helper()
			poll.Until(t, what, func() bool {
				s := handoffdStatus(t, m)
				return len(s.Generations) == 1 && s.Generations[0].State == "serving" && s.Generations[0].PID != first
			})
			first = handoffdStatus(t, m).Generations[0].PID
		}
		m.Output("kill", "-STOP", fmt.Sprint(first))
		if out, err := handoffd(t, m, "reexec"); err != nil {
			t.Fatalf("reexec: %v: %s", err, out)
		}
		another("the replacement of one that is silent")
		m.Output("kill", "-KILL", fmt.Sprint(first))
		another("the replacement of one that died")
		if n, main := m.Property(service, "NRestarts"), m.Property(service, "MainPID"); n != "0" || main != fmt.Sprint(handoffdStatus(t, m).PID) {
			t.Errorf("the unit was restarted %s times, and its main PID is %s", n, main)
		}
	})
}

// TestReloadBySignalWhileReexec: systemctl reload, by ReloadSignal=, reloads while
// handoffd is being replaced all the time.
func TestReloadBySignalWhileReexec(t *testing.T) {
	const reloads = 10
	onEachReloadingBySignal(t, func(t *testing.T, m *systemdtest.Machine) {
		m.Systemctl("start", "holdfast-app-signal.socket", signalService)
		rain(t, m, "12", m.Property(signalService, "MainPID"), func() {
			for i := range reloads {
				m.Systemctl("reload", signalService)
				// A reload that a replacement alone has answered would not show here.
				poll.Until(t, fmt.Sprintf("generation %d", i+2), func() bool {
					return strings.Contains(m.Property(signalService, "StatusText"), fmt.Sprintf("generation %d serving", i+2))
				})
			}
		})
		if log := m.Journal("-u", signalService); !strings.Contains(log, "has taken over") {
			t.Errorf("handoffd was not replaced:\n%s", log)
		}
		if n := m.Property(signalService, "NRestarts"); n != "0" {
			t.Errorf("the unit was restarted %s times", n)
		}
		m.Systemctl("stop", "holdfast-app-signal.socket", signalService)
	})
}
