package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// bare is the service without a sandbox.
const bare = `[Unit]
Wants=` + socket + `
After=` + socket + `

[Service]
Type=notify
ExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http
ExecReload=/usr/local/bin/handoffd reload
NonBlocking=yes
FileDescriptorStoreMax=65
RuntimeDirectory=holdfast-app
Delegate=yes
KillMode=mixed
`

// redis is the sandbox of redis-server.service in Debian 12 (7.0.15-1~deb12u10),
// with other paths.
const redis = `User=daemon
Group=daemon
UMask=007
PrivateTmp=true
PrivateDevices=true
PrivateUsers=true
ProtectSystem=strict
ProtectHome=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
CapabilityBoundingSet=
LockPersonality=true
MemoryDenyWriteExecute=true
NoNewPrivileges=true
RemoveIPC=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~ @privileged @resources
NoExecPaths=/
ExecPaths=/usr/local/bin /usr/lib /lib
`

// reloadThrice has clients send requests while the service is reloaded, and fails t
// if one is lost, or its connection.
func reloadThrice(t *testing.T, m *systemdtest.Machine, reload func()) {
	t.Helper()
	o := loadtest.Options{Clients: 8, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
	result := underLoad(t, m, o, func(load *loadtest.Load) {
		for range 3 {
			progress(t, load, 200)
			reload()
		}
		progress(t, load, 200)
	})
	if n := result.Total.Counts.Reconnected; n != 0 {
		t.Errorf("clients reconnected %d times", n)
	}
}

// TestSandboxes: reloads work in whatever sandbox a service may have. Where
// that takes the cgroups away, the status says so.
func TestSandboxes(t *testing.T) {
	const withoutCgroups = "process groups"
	cases := []struct {
		name, settings string
		warning        string // in the status
		since          int    // the first systemd that has these settings
	}{
		{name: "none"},
		{name: "another user", settings: "User=daemon\nGroup=daemon\n"},
		{name: "dynamic user", settings: "DynamicUser=yes\n"},
		{name: "user namespace", settings: "DynamicUser=yes\nPrivateUsers=yes\n"},
		{name: "redis", settings: redis, warning: withoutCgroups},
		{name: "redis with delegation", settings: redis + "ProtectControlGroups=no\n"},
		{name: "strict control groups", settings: "ProtectControlGroups=strict\n", warning: withoutCgroups, since: 257},
		{name: "private control groups", settings: "ProtectControlGroups=private\n", since: 257},
	}
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit(service, bare)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				if m.Version() < c.since {
					t.Skipf("systemd %d does not have it", m.Version())
				}
				begin(t, m, "[Service]\n"+c.settings)
				reloadThrice(t, m, func() { m.Systemctl("reload", service) })
				text := m.Property(service, "StatusText")
				if want := c.warning != ""; strings.Contains(text, withoutCgroups) != want {
					t.Errorf("the status is %q: it tells of %s: %v, want %v", text, withoutCgroups, !want, want)
				}
				if c.warning == "" {
					poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
				}
				if n := len(statusOf(t, m).Generations); n == 0 {
					t.Error("handoffd status shows no generation")
				}
			})
		}
	})
}

// TestUserManager: a service of a user, under `systemd --user`.
func TestUserManager(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		const uid = "1" // daemon
		manager := "user@" + uid + ".service"
		m.Systemctl("start", manager)
		t.Cleanup(func() { m.Systemctl("stop", manager) })
		as := func(args ...string) *exec.Cmd {
			args = append([]string{"--reuid=" + uid, "--regid=" + uid, "--clear-groups", "env", "XDG_RUNTIME_DIR=/run/user/" + uid}, args...)
			return m.Command(t.Context(), "setpriv", args...)
		}
		systemctl := func(args ...string) string {
			t.Helper()
			out, err := as(append([]string{"systemctl", "--user"}, args...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("systemctl --user %q: %v: %s\n%s", args, err, out, m.Journal("_UID="+uid))
			}
			return strings.TrimSpace(string(out))
		}
		m.WriteFile("/etc/systemd/user/"+socket, []byte("[Socket]\nListenStream="+address+"\nFileDescriptorName=http\n"), 0o644)
		m.WriteFile("/etc/systemd/user/"+service, []byte(bare), 0o644)
		systemctl("daemon-reload")
		systemctl("start", socket, service)
		main := systemctl("show", "-P", "MainPID", service)
		reloadThrice(t, m, func() { systemctl("reload", service) })
		if now := systemctl("show", "-P", "MainPID", service); now != main {
			t.Errorf("the main PID is %s, was %s", now, main)
		}
		if text, want := systemctl("show", "-P", "StatusText", service), "generation 4 serving"; !strings.Contains(text, want) || strings.Contains(text, "process groups") {
			t.Errorf("the status is %q, want %q, and cgroups", text, want)
		}
		if out, err := as("/usr/local/bin/handoffd", "status", "--control", "/run/user/"+uid+"/holdfast-app/control").CombinedOutput(); err != nil {
			t.Errorf("handoffd status: %v: %s", err, out)
		}
		systemctl("stop", socket, service)
		if result := systemctl("show", "-P", "Result", service); result != "success" {
			t.Errorf("the user's service ended with %s", result)
		}
	})
}
