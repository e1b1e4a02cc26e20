package main

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestNotifications: what a generation may tell besides READY=1, sd_notify(3).
func TestNotifications(t *testing.T) {
	const path = "/usr/local/bin/next"
	cases := []struct {
		name, flags, program string
		want                 string // in the status
	}{
		{"a program that forks", "", `
child = os.fork()
if child:
    s.send(b'MAINPID=%d\nREADY=1\nSTATUS=forked' % child)
    os._exit(0)
time.sleep(1000)
`, "forked"},
		{"another process speaks", "--notify-access all", `
if os.fork() == 0:
    s.send(b'READY=1\nSTATUS=from a child')
    os._exit(0)
time.sleep(1000)
`, "from a child"},
		{"more time", "--ready-timeout 5s", `
if os.environ['HANDOFF_GENERATION'] == '1':
    s.send(b'EXTEND_TIMEOUT_USEC=60000000')
    time.sleep(5.5)
s.send(b'READY=1\nSTATUS=at last')
time.sleep(1000)
`, "at last"},
		{"a watchdog that is heeded", "--watchdog 5s", `
assert os.environ['WATCHDOG_USEC'] == '5000000' and os.environ['WATCHDOG_PID'] == str(os.getpid())
s.send(b'READY=1')
for i in range(30):
    time.sleep(0.2)
    s.send(b'WATCHDOG=1')
s.send(b'STATUS=still there')
while True:
    time.sleep(0.2)
    s.send(b'WATCHDOG=1')
`, "still there"},
	}
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				m.WriteFile(path, []byte(python+c.program), 0o755)
				begin(t, m, "[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run --accept-later "+c.flags+" -- "+path+"\n")
				poll.Until(t, c.want, func() bool {
					out, err := handoffd(t, m, "status")
					return err == nil && strings.Contains(out, "1           serving") && strings.Contains(out, c.want)
				})
				if out, err := m.TrySystemctl("reload", service); err != nil {
					t.Errorf("the reload fails: %v: %s", err, out)
				}
				poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
				pid := serving(t, m)
				m.Output("kill", "-KILL", pid)
				poll.Until(t, "another generation", func() bool {
					now := serving(t, m)
					return now != "" && now != "-" && now != pid
				})
			})
		}
	})
}

// TestForeignNotifications: the socket of a generation is open to all users, and only
// the generation is heard.
func TestForeignNotifications(t *testing.T) {
	const path = "/usr/local/bin/next"
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile(path, []byte(python+"s.send(b'READY=1\\nSTATUS=genuine')\ntime.sleep(1000)\n"), 0o755)
		begin(t, m, "[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run --accept-later --notify-access all -- "+path+"\n")
		// The barrier comes back when all before it was dealt with.
		m.Output("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", `
import array, os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect('/run/holdfast-app/generations/notify-1')
for message in b'STATUS=forged', b'WATCHDOG=trigger', b'STOPPING=1':
    s.send(message)
r, w = os.pipe()
s.sendmsg([b'BARRIER=1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [w]))])
os.close(w)
os.read(r, 1)
`)
		if g := statusOf(t, m).Generations; len(g) != 1 || g[0].Number != 1 || g[0].Status != "genuine" {
			t.Errorf("another user was heard: %+v", g)
		}
	})
}
