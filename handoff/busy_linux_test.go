package handoff

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	"github.com/holdfast-go/holdfast/notify"
)

// TestBusyManager: nothing is lost where the manager reads nothing for a while, as
// systemd does while it reloads itself, for as long as its generators take.
func TestBusyManager(t *testing.T) {
	const n = 10
	m := newManager(t)
	addr := m.listen("echo", "tcp", "127.0.0.1:0")
	app := appConfig{Echo: inherited, State: 1}
	g := m.start(app)
	clients := connect(t, addr, n)
	m.listenIn(func(_ *generation, n *notify.Notification) {
		if n.Message.Has("STOPPING", "1") {
			time.Sleep(fdstore.ExchangeTimeout + 500*time.Millisecond)
		}
	})
	g = m.restart(g, app)
	g.printed("loaded 0 of version 1")
	if alive := Step(t, clients); alive != n {
		t.Errorf("%d of %d connections went on", alive, n)
	}
	m.listenIn(nil)
	g.stop()
}
