package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// exitCode is that of a command that ran.
func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// answers collects the PIDs that answer new connections.
func answers(t *testing.T, m *systemdtest.Machine, requests int) map[string]bool {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return m.Dial(ctx, "tcp", address)
	}}}
	pids := make(map[string]bool)
	for range requests {
		r, err := client.Get("http://localhost/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(body)) // version 1 pid 12 request 3
		pids[fields[3]] = true
	}
	return pids
}

// TestHold: both generations answer until commit or abort, and nothing is lost.
func TestHold(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, verb := range []string{"commit", "abort"} {
			t.Run(verb, func(t *testing.T) {
				begin(t, m, "")
				o := loadtest.Options{Clients: 8, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
				result := underLoad(t, m, o, func(load *loadtest.Load) {
					progress(t, load, 100)
					before := answers(t, m, 10)
					if len(before) != 1 {
						t.Errorf("before, %d generations answer", len(before))
					}
					if out, err := handoffd(t, m, "reload", "--hold"); err != nil || !strings.Contains(out, "generation 2: held") {
						t.Fatalf("reload --hold: %v: %s", err, out)
					}
					poll.Until(t, "answers of both", func() bool { return len(answers(t, m, 20)) == 2 })
					progress(t, load, 100)
					if out, err := handoffd(t, m, verb); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
					poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
					after := answers(t, m, 10)
					if len(after) != 1 {
						t.Errorf("after, %d generations answer", len(after))
					}
					for pid := range after {
						if before[pid] != (verb == "abort") {
							t.Errorf("after the %s PID %s answers, and before it was %v", verb, pid, before)
						}
					}
					progress(t, load, 100)
				})
				if n := result.Total.Counts.Reconnected; n != 0 {
					t.Errorf("clients reconnected %d times", n)
				}
				out, err := handoffd(t, m, verb)
				if code := exitCode(t, err); code != exitUndone {
					t.Errorf("another %s exits with %d: %s", verb, code, out)
				}
			})
		}
	})
}

// TestVerbs: what verbs exit with, and what they say.
func TestVerbs(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, verb := range []string{"reload", "commit", "abort", "status"} {
			out, err := handoffd(t, m, verb)
			if code := exitCode(t, err); code != exitUnavailable || !strings.Contains(out, "/run/holdfast-app/control") {
				t.Errorf("%s without a handoffd exits with %d: %s", verb, code, out)
			}
			out, err = handoffd(t, m, verb, "--nonsense")
			if code := exitCode(t, err); code != exitUsage || !strings.Contains(out, "nonsense") {
				t.Errorf("%s --nonsense exits with %d: %s", verb, code, out)
			}
		}
		begin(t, m, "")
		if s := statusOf(t, m); s.Situation != "serving" || len(s.Generations) != 1 || s.Generations[0].Number != 1 {
			t.Errorf("the status is %+v", s)
		}
		if out, err := handoffd(t, m, "reload", "--dry-run"); err != nil {
			t.Errorf("reload --dry-run: %v: %s", err, out)
		}
		poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
		if text := m.Property(service, "StatusText"); !strings.Contains(text, "generation 1 serving") {
			t.Errorf("the service's status is %q", text)
		}
		// Another program, until the next reload.
		m.WriteFile("/usr/local/bin/other", m.ReadFile("/usr/local/bin/holdfast-http"), 0o755)
		if out, err := handoffd(t, m, "reload", "/usr/local/bin/other"); err != nil {
			t.Errorf("reload PROGRAM: %v: %s", err, out)
		}
		runs := func(program string) bool {
			t.Helper()
			g := statusOf(t, m).Generations
			return len(g) == 1 && g[0].State == "serving" && g[0].Program == "/usr/local/bin/"+program
		}
		poll.Until(t, "the other program", func() bool { return runs("other") })
		pid := serving(t, m)
		m.Output("kill", "-KILL", pid)
		poll.Until(t, "its respawn", func() bool { return serving(t, m) != pid && runs("other") })
		m.Systemctl("reload", service)
		poll.Until(t, "the configured program", func() bool { return runs("holdfast-http") })
		if log, want := m.Journal("HANDOFF_EVENT=serves", "GENERATION=3"), "generation 3 serves"; !strings.Contains(log, want) {
			t.Errorf("the journal has no such entry with these fields: %q", log)
		}
	})
}
