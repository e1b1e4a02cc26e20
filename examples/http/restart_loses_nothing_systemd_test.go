package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	clients  = 32
	restarts = 20
	requests = 20_000
)

// install puts the program and its pair into m.
func install(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	m.InstallFile("/usr/local/bin/holdfast-http", systemdtest.Build(t, "."), 0o755)
	for _, name := range []string{"holdfast-http.socket", "holdfast-http.service"} {
		text, err := units.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		m.InstallUnit(name, text)
	}
}

func TestRestartLosesNothing(t *testing.T) {
	cases := []struct {
		name, network, address string
		keepAlive              bool
		socket, service        string // drop-ins
	}{
		{name: "tcp", network: "tcp", address: "127.0.0.1:8080"},
		{name: "keep-alive", network: "tcp", address: "127.0.0.1:8080", keepAlive: true},
		{name: "ipv6", network: "tcp6", address: "[::1]:8080", socket: "[Socket]\nListenStream=\nListenStream=[::1]:8080\n"},
		{name: "unix", network: "unix", address: "/run/holdfast-http.sock", socket: "[Socket]\nListenStream=\nListenStream=/run/holdfast-http.sock\n"},
		{name: "slow start", network: "tcp", address: "127.0.0.1:8080",
			service: "[Service]\nExecStart=\nExecStart=/usr/local/bin/holdfast-http -start-delay 500ms\n"},
	}
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				m.InstallUnit("holdfast-http.socket.d/test.conf", c.socket)
				m.InstallUnit("holdfast-http.service.d/test.conf", c.service)
				m.Systemctl("start", "holdfast-http.socket")
				defer m.Systemctl("stop", "holdfast-http.socket", "holdfast-http.service")
				result := restartUnderLoad(t, m, loadtest.Options{
					Network: c.network, Address: c.address, URL: "http://localhost/",
					Dial: m.Dial, Clients: clients, Requests: requests,
					KeepAlive: c.keepAlive, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo), Timeout: time.Minute,
				})
				if err := result.Err(); err != nil {
					t.Error(err)
				}
				counts := result.Total.Counts
				if counts.OK < requests {
					t.Errorf("%d requests were answered, want at least %d", counts.OK, requests)
				}
				if counts.Reconnected > 0 {
					t.Errorf("%d kept connections were closed by the server", counts.Reconnected)
				}
			})
		}
	})
}

// restartUnderLoad restarts the service again and again, each time that another
// part of the requests has been answered, and returns what the clients counted.
func restartUnderLoad(t *testing.T, m *systemdtest.Machine, o loadtest.Options) *loadtest.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	load, err := loadtest.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		load.Stop()
		load.Wait()
	}()
	pids := map[string]bool{"0": true}
	for i := range restarts {
		poll.Until(t, fmt.Sprintf("the load before restart %d", i+1), func() bool {
			return load.Counts().Requests() >= int64(i)*o.Requests/restarts+1
		})
		m.Systemctl("restart", "holdfast-http.service")
		pid := m.Property("holdfast-http.service", "MainPID")
		if pids[pid] {
			t.Fatalf("restart %d: the main PID is %s, want a new one", i+1, pid)
		}
		pids[pid] = true
	}
	result, err := load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// deadline bounds a test that would otherwise hang.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	t.Cleanup(cancel)
	return ctx
}

func TestFirstConnectionStartsTheService(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		m.Systemctl("start", "holdfast-http.socket")
		if state := m.Property("holdfast-http.service", "ActiveState"); state != "inactive" {
			t.Fatalf("before the first connection the service is %s, want inactive", state)
		}
		result, err := loadtest.Run(t.Context(), loadtest.Options{URL: "http://127.0.0.1:8080/", Dial: m.Dial, Requests: 1, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if err := result.Err(); err != nil {
			t.Fatal(err)
		}
		if state := m.Property("holdfast-http.service", "ActiveState"); state != "active" {
			t.Errorf("after the first connection the service is %s, want active", state)
		}
	})
}
