package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// serving returns the PID of the main process of the generation that serves.
func serving(t testing.TB, m *systemdtest.Machine) string {
	t.Helper()
	out, err := handoffd(t, m, "status")
	if notDown(err) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == "serving" {
			return fields[2]
		}
	}
	return ""
}

// TestRestartUnderLoad: what generations leave outlives handoffd itself.
func TestRestartUnderLoad(t *testing.T) {
	const restarts, requests, clients = 6, 1_000, 32
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "")
		o := loadtest.Options{Clients: clients, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
		result := underLoad(t, m, o, func(load *loadtest.Load) {
			for range restarts {
				progress(t, load, requests)
				m.Systemctl("restart", service)
				progress(t, load, requests)
				m.Systemctl("reload", service)
			}
			progress(t, load, requests)
		})
		c := result.Total.Counts
		t.Logf("%d restarts and reloads: %v, connections %d, %v", restarts, c, c.Connections, result.Total.Latency)
		if c.Reconnected != 0 || c.Connections != clients {
			t.Errorf("%d clients opened %d connections, %d of them anew", clients, c.Connections, c.Reconnected)
		}
		// The numbers go on, and nothing piles up in the store: handoffd's own
		// entry and the manifest.
		status, err := handoffd(t, m, "status")
		if want := fmt.Sprintf("%d          serving", 2*restarts+1); err != nil || !strings.Contains(status, want) {
			t.Errorf("the status does not say %q: %v:\n%s", want, err, status)
		}
		poll.Until(t, "an empty store", func() bool {
			n := m.Property(service, "NFileDescriptorStore")
			return n == "2" || n == "1"
		})
	})
}

// TestDeaths: handoffd and generations are killed, and the service goes on.
func TestDeaths(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nRestartSec=100ms\n")
		load, err := loadtest.Start(t.Context(), loadtest.Options{
			URL: "http://localhost/", Address: address, Dial: m.Dial, Clients: 8, Duration: 10 * time.Minute, Timeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			load.Stop()
			load.Wait()
		}()
		for range 3 {
			progress(t, load, 100)
			pid := serving(t, m)
			m.Output("kill", "-KILL", pid)
			poll.Until(t, "another generation", func() bool {
				now := serving(t, m)
				return now != "" && now != pid
			})
		}
		if n := m.Property(service, "NRestarts"); n != "0" {
			t.Errorf("the unit was restarted %s times", n)
		}
		for i := range 3 {
			progress(t, load, 100)
			m.Output("kill", "-KILL", m.Property(service, "MainPID"))
			poll.Until(t, "a restart of the unit", func() bool {
				return m.Property(service, "NRestarts") == fmt.Sprint(i+1) && m.Property(service, "ActiveState") == "active"
			})
		}
		progress(t, load, 100)
		load.Stop()
		result, err := load.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if c := result.Total.Counts; c.Refused != 0 || c.TimedOut != 0 {
			t.Errorf("clients were refused, or waited in vain: %v", c)
		}
		if n := generations(t, m); n != 1 {
			t.Errorf("there are %d cgroups of generations", n)
		}
		if state := m.Property(socket, "ActiveState"); state != "active" {
			t.Errorf("the socket is %s", state)
		}
	})
}

// TestManyReloads: ten at once are answered, each by a generation that was started
// after it was asked for.
func TestManyReloads(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http -start-delay 300ms\n")
		underLoad(t, m, loadtest.Options{Clients: 8, KeepAlive: true}, func(load *loadtest.Load) {
			progress(t, load, 100)
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					if out, err := handoffd(t, m, "reload"); err != nil {
						t.Errorf("%v: %s", err, out)
					}
				})
			}
			all.Wait()
			progress(t, load, 100)
		})
		poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
	})
}

// TestStops: a stop of the service, whatever it does, does not make it fail.
func TestStops(t *testing.T) {
	cases := []struct {
		name, flags, program string
		during               string // a reload, or the start
	}{
		{name: "during a reload", during: "reload", flags: "--probation 60s"},
		{name: "during a reload that starts", during: "reload", program: "#!/bin/sh\nexec sleep infinity\n"},
		{name: "during the start", during: "start", program: "#!/bin/sh\nexec sleep infinity\n"},
	}
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		good := m.ReadFile("/usr/local/bin/holdfast-http")
		const path = "/usr/local/bin/next"
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				program := []byte(c.program)
				m.WriteFile(path, program, 0o755)
				if c.program == "" || c.during == "reload" {
					m.WriteFile(path, good, 0o755)
				}
				dropIn := "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run " + c.flags + " -- " + path + "\n"
				switch c.during {
				case "start":
					m.InstallUnit(service+".d/test.conf", dropIn)
					m.Systemctl("start", socket)
					m.Systemctl("start", "--no-block", service)
					poll.Until(t, "a generation", func() bool {
						out, err := handoffd(t, m, "status")
						return err == nil && strings.Contains(out, "1           starting")
					})
				case "reload":
					begin(t, m, dropIn)
					if c.program != "" {
						m.WriteFile(path, program, 0o755)
					}
					m.Systemctl("reload", "--no-block", service)
					poll.Until(t, "a successor", func() bool {
						out, err := handoffd(t, m, "status")
						return err == nil && (strings.Contains(out, "2           starting") || strings.Contains(out, "2           ready"))
					})
				}
				m.Systemctl("stop", socket, service)
				if result := m.Property(service, "Result"); result != "success" {
					t.Errorf("the result is %s:\n%s", result, m.Journal("-u", service))
				}
			})
		}
	})
}

// TestStopKills: a program that has to be killed ends its service as failed, under
// handoffd as without it.
func TestStopKills(t *testing.T) {
	const path = "/usr/local/bin/next"
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile(path, []byte("#!/bin/sh\ntrap '' TERM\nwhile true; do sleep 4712; done\n"), 0o755)
		const alone = "alone.service"
		m.InstallUnit(alone, "[Service]\nType=exec\nTimeoutStopSec=1s\nExecStart="+path+"\n")
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run --drain-timeout 1s --ready exec -- "+path+"\n")
		m.Systemctl("start", alone)
		poll.Until(t, "both to be deaf", func() bool { return strings.Count(m.Output("ps", "axo", "args"), "sleep 4712") == 2 })
		m.Systemctl("stop", alone, service)
		for unit, want := range map[string]string{alone: "failed timeout 9", service: "failed exit-code 137"} {
			got := strings.Join([]string{m.Property(unit, "ActiveState"), m.Property(unit, "Result"), m.Property(unit, "ExecMainStatus")}, " ")
			if got != want {
				t.Errorf("%s is %s, want %s", unit, got, want)
			}
		}
		m.Systemctl("reset-failed", alone)
	})
}

// TestGivesUp: a program that does not start makes the unit fail with its status, and
// the reason that it gives.
func TestGivesUp(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile("/usr/local/bin/next", []byte(python+"s.send(b'ERRNO=5')\ns.send(b'ERRNO=28')\nsys.exit(42)\n"), 0o755)
		m.InstallUnit(service+".d/test.conf", "[Service]\nRestart=no\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/next\n")
		m.Systemctl("start", socket)
		if out, err := m.TrySystemctl("start", service); err == nil {
			t.Errorf("the start succeeds: %s", out)
		}
		if status := m.Property(service, "ExecMainStatus"); status != "42" {
			t.Errorf("the main process exited with %s, want 42:\n%s", status, m.Journal("-u", service))
		}
		if errno := m.Property(service, "StatusErrno"); errno != "28" {
			t.Errorf("the service's ERRNO is %s, want 28", errno)
		}
	})
}

// TestNoSockets: a service without its sockets does not start, and says what to do.
func TestNoSockets(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		const lonely = "lonely.service"
		m.InstallUnit(lonely, "[Service]\nType=notify\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http\n")
		if out, err := m.TrySystemctl("start", lonely); err == nil {
			t.Errorf("the start succeeds: %s", out)
		}
		if log, want := m.Journal("-u", lonely), "no sockets were passed"; !strings.Contains(log, want) {
			t.Errorf("the journal does not say %q:\n%s", want, log)
		}
	})
}

// TestNoStore: where the manager keeps nothing, connections cross a reload all the
// same, and are finished politely before a restart.
func TestNoStore(t *testing.T) {
	const rounds, requests, clients = 3, 500, 16
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nFileDescriptorStoreMax=0\n")
		o := loadtest.Options{Clients: clients, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
		underLoad(t, m, o, func(load *loadtest.Load) {
			for range rounds {
				progress(t, load, requests)
				before := load.Counts().Reconnected
				m.Systemctl("reload", service)
				progress(t, load, requests)
				poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
				if n := load.Counts().Reconnected - before; n != 0 {
					t.Errorf("at a reload %d clients reconnected", n)
				}
				m.Systemctl("restart", service)
			}
			progress(t, load, requests)
		})
	})
}
