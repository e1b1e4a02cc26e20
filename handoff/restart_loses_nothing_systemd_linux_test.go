package handoff_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// The program of these tests is the helper "app" of the test binary.
const program = "/usr/local/bin/app"

// service is a unit for it, with APP and settings of a test's own.
func service(app string, settings ...string) string {
	return `[Unit]
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=` + program + `
Environment=` + helpertest.Variable + `=app
Environment='APP=` + app + `'
FileDescriptorStoreMax=16
NonBlocking=yes
` + strings.Join(settings, "\n") + "\n"
}

const socket = `[Socket]
ListenStream=127.0.0.1:8080
FileDescriptorName=http
`

func onEachSystemd(t *testing.T, f func(t *testing.T, m *systemdtest.Machine)) {
	exe := systemdtest.BuildTest(t)
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile(program, exe, 0o755)
		f(t, m)
	})
}

// restartUnderLoad calls restart again and again, each time that another part of
// at least so many requests has been answered.
func restartUnderLoad(t *testing.T, o loadtest.Options, restarts int, requests int64, restart func()) *loadtest.Result {
	t.Helper()
	o.URL = "http://localhost/"
	o.PostEvery = 2
	o.Check = loadtest.ByMethod(nil, loadtest.Digest)
	o.Duration = 10 * time.Minute
	o.Timeout = time.Minute
	load, err := loadtest.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		load.Stop()
		load.Wait()
	}()
	for i := range restarts + 1 {
		want := requests * int64(i+1) / int64(restarts+1)
		poll.Until(t, "the clients make progress", func() bool { return load.Counts().OK >= want })
		if i < restarts {
			restart()
		}
	}
	load.Stop()
	result, err := load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Err(); err != nil {
		t.Error(err)
	}
	if ok := result.Total.Counts.OK; ok < requests {
		t.Errorf("%d requests were answered, want at least %d", ok, requests)
	}
	t.Logf("%d restarts: %v, connections %d, reconnected %d, %v", restarts, result.Total.Counts,
		result.Total.Counts.Connections, result.Total.Counts.Reconnected, result.Total.Latency)
	return result
}

// TestKeepAliveSurvivesRestarts: no client of a service that is restarted under
// load loses a request, or its connection.
func TestKeepAliveSurvivesRestarts(t *testing.T) {
	const restarts, requests, clients = 20, 20_000, 32
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("app.socket", socket)
		m.InstallUnit("app.service", service(`{"HTTP":"inherited"}`))
		m.Systemctl("start", "app.socket", "app.service")
		result := restartUnderLoad(t, loadtest.Options{
			Address: "127.0.0.1:8080", Dial: m.Dial, Clients: clients, KeepAlive: true,
		}, restarts, requests, func() { m.Systemctl("restart", "app.service") })
		if c := result.Total.Counts; c.Reconnected != 0 || c.Connections != clients {
			t.Errorf("%d clients opened %d connections, %d of them anew", clients, c.Connections, c.Reconnected)
		}
		m.Systemctl("stop", "app.socket", "app.service")
		if n := m.Property("app.service", "NFileDescriptorStore"); n != "0" {
			t.Errorf("after the stop the store holds %s", n)
		}
	})
}

// TestPortIsKept: a service without a socket unit binds its port itself, and
// keeps it over restarts.
func TestPortIsKept(t *testing.T) {
	const restarts, requests, clients = 20, 4_000, 16
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("app.service", service(`{"HTTP":"127.0.0.1:8080"}`))
		m.Systemctl("start", "app.service")
		restartUnderLoad(t, loadtest.Options{
			Address: "127.0.0.1:8080", Dial: m.Dial, Clients: clients,
		}, restarts, requests, func() { m.Systemctl("restart", "app.service") })
		if n := m.Property("app.service", "NFileDescriptorStore"); n != "2" {
			t.Errorf("the store holds %s, want the listener and the manifest", n)
		}

		// Another address in the configuration wins over what is stored.
		m.InstallUnit("app.service", service(`{"HTTP":"127.0.0.1:8081"}`))
		m.Systemctl("restart", "app.service")
		c, err := m.Dial(t.Context(), "tcp", "127.0.0.1:8081")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		awaitRefused(t, m, "127.0.0.1:8080")
		if log := m.Journal("-u", "app.service"); !strings.Contains(log, "127.0.0.1:8080: inherited, and nothing here knows it") {
			t.Errorf("the program was not told of the stored listener:\n%s", log)
		}
		// A service that wants no listener leaves none.
		m.InstallUnit("app.service", service(`{"State":1}`))
		m.Systemctl("restart", "app.service")
		awaitRefused(t, m, "127.0.0.1:8081")
	})
}

// awaitRefused waits until nobody listens there: systemd closes what it drops from the
// store in its own time.
func awaitRefused(t *testing.T, m *systemdtest.Machine, address string) {
	t.Helper()
	poll.Until(t, address+" refuses: nobody wants this port", func() bool {
		c, err := m.Dial(t.Context(), "tcp", address)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// awaitJournal waits until the service has said something so many times: a state is
// loaded after READY=1.
func awaitJournal(t *testing.T, m *systemdtest.Machine, text string, times int) {
	t.Helper()
	log := ""
	defer func() {
		if t.Failed() {
			t.Logf("the service says:\n%s", log)
		}
	}()
	poll.UntilEqual(t, fmt.Sprintf("how often it says %q", text), times, func() int {
		log = m.Journal("-u", "app.service")
		return strings.Count(log, text)
	})
}

// strict is as strict a sandbox as works with sockets of the Internet: the
// service needs nothing but them and the notification socket.
var strict = []string{
	"DynamicUser=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateDevices=yes", "PrivateTmp=yes",
	"PrivateUsers=yes", "ProtectClock=yes", "ProtectControlGroups=yes", "ProtectHostname=yes",
	"ProtectKernelLogs=yes", "ProtectKernelModules=yes", "ProtectKernelTunables=yes", "ProtectProc=invisible",
	"ProcSubset=pid", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "RestrictNamespaces=yes",
	"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "RestrictRealtime=yes", "RestrictSUIDSGID=yes",
	"LockPersonality=yes", "MemoryDenyWriteExecute=yes", "RemoveIPC=yes", "UMask=0077",
	"SystemCallArchitectures=native", "SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources",
}

// TestSandbox: the same under an unprivileged user who may do nothing else.
func TestSandbox(t *testing.T) {
	const restarts, requests, clients = 10, 4_000, 16
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("app.socket", socket)
		m.InstallUnit("app.service", service(`{"HTTP":"inherited","State":1}`, strict...))
		m.Systemctl("start", "app.socket", "app.service")
		result := restartUnderLoad(t, loadtest.Options{
			Address: "127.0.0.1:8080", Dial: m.Dial, Clients: clients, KeepAlive: true,
		}, restarts, requests, func() { m.Systemctl("restart", "app.service") })
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
		// The state went on: the last count is that of all GETs.
		m.Systemctl("restart", "app.service")
		awaitJournal(t, m, "of version 1", restarts+1)
	})
}

// TestUserManager: the same as a service of a user's own manager.
func TestUserManager(t *testing.T) {
	const restarts, requests, clients, uid = 10, 4_000, 16, 4711
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile("/etc/passwd", append(m.ReadFile("/etc/passwd"), fmt.Sprintf("app:*:%d:%d::/tmp:/bin/sh\n", uid, uid)...), 0o644)
		m.WriteFile("/etc/group", append(m.ReadFile("/etc/group"), fmt.Sprintf("app:x:%d:\n", uid)...), 0o644)
		m.WriteFile("/etc/systemd/user/app.service", []byte(service(`{"HTTP":"127.0.0.1:8080"}`)), 0o644)
		if out, err := m.TrySystemctl("start", fmt.Sprintf("user@%d.service", uid)); err != nil {
			handoff.Skip(t, fmt.Sprintf("no user manager here: %v %s", err, out))
		}
		systemctl := func(args ...string) string {
			return m.Output(append([]string{"setpriv", fmt.Sprintf("--reuid=%d", uid), fmt.Sprintf("--regid=%d", uid), "--clear-groups",
				"env", fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", uid), "systemctl", "--user"}, args...)...)
		}
		systemctl("start", "app.service")
		result := restartUnderLoad(t, loadtest.Options{
			Address: "127.0.0.1:8080", Dial: m.Dial, Clients: clients, KeepAlive: true,
		}, restarts, requests, func() { systemctl("restart", "app.service") })
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
	})
}
