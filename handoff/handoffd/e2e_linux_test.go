package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// patience bounds every wait: a loaded machine is slow.
const patience = 2 * time.Minute

// httpProgram answers GET with its version, and POST with the body, on package
// handoff.
const httpProgram = "github.com/holdfast-go/holdfast/examples/http"

const (
	service = "holdfast-app.service"
	address = "127.0.0.1:8080"
)

// onEachSystemd runs f with the pair of units installed, and the programs.
func onEachSystemd(t *testing.T, f func(t *testing.T, m *systemdtest.Machine)) {
	handoffd := systemdtest.Build(t, ".")
	program := systemdtest.Build(t, httpProgram)
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/handoffd", handoffd, 0o755)
		m.InstallFile("/usr/local/bin/holdfast-http", program, 0o755)
		for _, name := range []string{"holdfast-app.socket", service} {
			text, err := units.Read(name)
			if err != nil {
				t.Fatal(err)
			}
			m.InstallUnit(name, text)
		}
		f(t, m)
	})
}

// begin starts the service, with a drop-in.
func begin(t *testing.T, m *systemdtest.Machine, dropIn string) {
	t.Helper()
	m.InstallUnit(service+".d/test.conf", dropIn)
	m.Systemctl("start", "holdfast-app.socket", service)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the service says:\n%s", m.Journal("-u", service))
		}
		m.Systemctl("stop", "holdfast-app.socket", service)
		m.TrySystemctl("reset-failed", service)
	})
}

// waitFor returns once done does.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// handoffd runs a verb inside.
func handoffd(t *testing.T, m *systemdtest.Machine, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := m.Command(ctx, "/usr/local/bin/handoffd", args...)
	cmd.Env = append(cmd.Env, "RUNTIME_DIRECTORY=/run/holdfast-app")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// underLoad has clients send requests while f runs, and returns what they lost.
func underLoad(t *testing.T, m *systemdtest.Machine, o loadtest.Options, f func(load *loadtest.Load)) *loadtest.Result {
	t.Helper()
	o.URL, o.Address, o.Dial = "http://localhost/", address, m.Dial
	o.Duration, o.Timeout = 10*time.Minute, time.Minute
	load, err := loadtest.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		load.Stop()
		load.Wait()
	}()
	f(load)
	load.Stop()
	result, err := load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Err(); err != nil {
		t.Error(err)
	}
	return result
}

// progress waits until so many more requests were answered.
func progress(t *testing.T, load *loadtest.Load, requests int64) {
	t.Helper()
	want := load.Counts().OK + requests
	waitFor(t, fmt.Sprintf("%d more answers", requests), func() bool { return load.Counts().OK >= want })
}

// generations returns how many cgroups of generations there are.
func generations(t *testing.T, m *systemdtest.Machine) int {
	t.Helper()
	entries, err := os.ReadDir(m.Path("/sys/fs/cgroup" + m.Property(service, "ControlGroup")))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "gen-") {
			n++
		}
	}
	return n
}

// TestReloadUnderLoad: reload after reload, and no client loses a request or its
// connection.
func TestReloadUnderLoad(t *testing.T) {
	const reloads, requests, clients = 10, 1_000, 32
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, keepAlive := range []bool{true, false} {
			t.Run(fmt.Sprintf("keepAlive=%v", keepAlive), func(t *testing.T) {
				begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http -start-delay 300ms\n")
				main := m.Property(service, "MainPID")
				o := loadtest.Options{Clients: clients, KeepAlive: keepAlive, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
				result := underLoad(t, m, o, func(load *loadtest.Load) {
					for range reloads {
						progress(t, load, requests)
						m.Systemctl("reload", service)
					}
					progress(t, load, requests)
				})
				c := result.Total.Counts
				t.Logf("%d reloads: %v, connections %d, %v", reloads, c, c.Connections, result.Total.Latency)
				if keepAlive && (c.Reconnected != 0 || c.Connections != clients) {
					t.Errorf("%d clients opened %d connections, %d of them anew", clients, c.Connections, c.Reconnected)
				}
				if pid := m.Property(service, "MainPID"); pid != main {
					t.Errorf("the main PID is %s, was %s", pid, main)
				}
				waitFor(t, "one generation", func() bool { return generations(t, m) == 1 })
				status, err := handoffd(t, m, "status")
				if err != nil {
					t.Fatalf("%v: %s", err, status)
				}
				// One that did not take over all would have had a client reconnect.
				waitFor(t, "the number of carried connections", func() bool {
					return !keepAlive || statusOf(t, m).Generations[0].Carried >= clients
				})
				if want := fmt.Sprintf("generation %d done", reloads+1); !strings.Contains(status, want) {
					t.Errorf("the status does not say %q:\n%s", want, status)
				}
				t.Log("\n" + status)
			})
		}
	})
}
