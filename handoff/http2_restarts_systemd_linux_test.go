package handoff_test

import (
	"testing"

	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestHTTP2Restarts: clients that speak HTTP/2, by TLS and in the clear, are told
// to go away by a service that is restarted under their load, and lose no request.
func TestHTTP2Restarts(t *testing.T) {
	const restarts = 5
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("app.service", service(`{"HTTP":"127.0.0.1:8080","H2C":true,"HTTPS":"127.0.0.1:8443","IdleGrace":5000000000}`))
		m.Systemctl("start", "app.service")
		secure := handoff.StartHTTP2Load(t, m.Dial, "127.0.0.1:8443", true)
		clear := handoff.StartHTTP2Load(t, m.Dial, "127.0.0.1:8080", false)
		for range restarts {
			secure.Progress(t)
			clear.Progress(t)
			m.Systemctl("restart", "app.service")
		}
		for _, load := range []*handoff.HTTP2Load{secure, clear} {
			load.Progress(t)
			load.Finish(t, restarts)
		}
	})
}
