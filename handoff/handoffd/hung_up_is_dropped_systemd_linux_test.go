package main

import (
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestHangupAfterARestart: what was stored without FDPOLL=0 is dropped when it hangs
// up, also by a handoffd that has only inherited it.
func TestHangupAfterARestart(t *testing.T) {
	const (
		path = "/usr/local/bin/next"
		sock = "/run/holdfast-app/peers"
	)
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile(path, []byte(python+`
import array
def store(c, message):
    s.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [c.fileno()]))])
names = os.environ['LISTEN_FDNAMES'].split(':')
if 'peer' in names:
    for fd, name in enumerate(names, 3):
        if name in ('peer', 'kept'): os.close(fd)
    s.send(b'READY=1\nSTATUS=inherited')
else:
    l = socket.socket(socket.AF_UNIX)
    l.bind('`+sock+`')
    l.listen()
    s.send(b'READY=1')
    store(l.accept()[0], b'FDSTORE=1\nFDNAME=peer')
    store(l.accept()[0], b'FDSTORE=1\nFDNAME=kept\nFDPOLL=0')
time.sleep(1000)
`), 0o755)
		begin(t, m, "[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run --accept-later -- "+path+"\n")
		dial := func() func() {
			t.Helper()
			c, err := m.Dial(t.Context(), "unix", sock)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return func() { c.Close() }
		}
		// Beside handoffd's own entry.
		stored := func(want string) {
			t.Helper()
			poll.Until(t, want+" descriptors in the store", func() bool { return m.Property(service, "NFileDescriptorStore") == want })
		}
		hangUp, hangUpKept := dial(), dial()
		stored("3")
		m.Systemctl("restart", service)
		poll.Until(t, "the generation that inherits", func() bool {
			g := statusOf(t, m).Generations
			return len(g) == 1 && g[0].Status == "inherited"
		})
		stored("3")
		hangUpKept()
		hangUp()
		stored("2")
	})
}
