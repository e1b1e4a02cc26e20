package main

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// python begins a program that can tell the manager something.
const python = `#!/usr/bin/python3
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
`

// TestBadSuccessors: whatever is wrong with the successor, the reload fails and
// says why, and no client of the predecessor notices.
func TestBadSuccessors(t *testing.T) {
	cases := []struct {
		name    string
		flags   string
		program string      // "" is none
		mode    os.FileMode // 0 is 0755
		reason  []string
	}{
		{name: "missing", reason: []string{"could not be started", "no such file"}},
		{name: "not executable", program: "#!/bin/sh\n", mode: 0o644, reason: []string{"could not be started", "permission denied"}},
		{name: "no interpreter", program: "#!/usr/bin/nothing\n", reason: []string{"could not be started", "no such file"}},
		{name: "exits at once", program: "#!/bin/sh\necho the configuration is wrong >&2\nexit 3\n",
			reason: []string{"exit status 3", "the configuration is wrong"}},
		{name: "is killed", program: "#!/bin/sh\nkill -KILL $$\n", reason: []string{"signal 9"}},
		{name: "exits in the probation", flags: "--probation 30s", program: python + "s.send(b'READY=1')\nsys.exit('sorry')\n",
			reason: []string{"exit status 1", "sorry"}},
		{name: "never ready", flags: "--ready-timeout 3s", program: "#!/bin/sh\nexec sleep infinity\n",
			reason: []string{"not ready in time"}},
		{name: "silent", flags: "--probation 60s --watchdog 5s", program: python + "s.send(b'READY=1')\ntime.sleep(1000)\n",
			reason: []string{"watchdog"}},
		{name: "leaves orphans", program: "#!/bin/sh\nfor i in 1 2 3; do setsid sh -c 'trap \"\" TERM; sleep 1000' & done\nexit 4\n",
			reason: []string{"exit status 4"}},
		{name: "floods the notification socket", flags: "--ready-timeout 3s", program: python + "while True: s.send(b'STATUS=busy')\n",
			reason: []string{"not ready in time"}},
		{name: "sends garbage", program: python + "for i in range(1000): s.send(os.urandom(1 + i))\nsys.exit(4)\n",
			reason: []string{"exit status 4"}},
		{name: "another process says it", program: "#!/bin/sh\n(python3 -c 'import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b\"READY=1\", os.environ[\"NOTIFY_SOCKET\"])'; true)\nexit 5\n",
			reason: []string{"exit status 5"}},
		{name: "leaves by itself", flags: "--probation 30s", program: python + "s.send(b'READY=1')\ns.send(b'STOPPING=1')\ntime.sleep(1)\n",
			reason: []string{"stopped by itself"}},
	}
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		good := m.ReadFile("/usr/local/bin/holdfast-http")
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				const path = "/usr/local/bin/next"
				m.WriteFile(path, good, 0o755)
				begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run "+c.flags+" -- "+path+"\n")
				main := m.Property(service, "MainPID")
				if c.program == "" {
					m.Output("rm", path)
				} else {
					m.WriteFile(path, []byte(c.program), cmp.Or(c.mode, 0o755))
				}
				o := loadtest.Options{Clients: 8, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
				result := underLoad(t, m, o, func(load *loadtest.Load) {
					progress(t, load, 100)
					out, err := m.TrySystemctl("reload", service)
					if err == nil {
						t.Errorf("the reload succeeds: %s", out)
					}
					progress(t, load, 100)
				})
				if n := result.Total.Counts.Reconnected; n != 0 {
					t.Errorf("clients reconnected %d times", n)
				}
				status, err := handoffd(t, m, "status")
				if err != nil {
					t.Fatalf("%v: %s", err, status)
				}
				for _, text := range append(c.reason, "generation 2 undone", "1           serving") {
					if !strings.Contains(status, text) {
						t.Errorf("the status does not say %q:\n%s", text, status)
					}
				}
				log := m.Journal("-u", service)
				for _, text := range c.reason {
					if !strings.Contains(log, text) {
						t.Errorf("the journal does not say %q:\n%s", text, log)
					}
				}
				poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
				if state, pid := m.Property(service, "ActiveState"), m.Property(service, "MainPID"); state != "active" || pid != main {
					t.Errorf("the service is %s with PID %s, want active with %s", state, pid, main)
				}
				m.WriteFile(path, good, 0o755)
				if c.flags == "" {
					m.Systemctl("reload", service)
				}
			})
		}
	})
}
