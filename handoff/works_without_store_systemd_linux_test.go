package handoff_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestWithoutStore: a unit that gives no room, or not enough, loses connections
// politely, and no request. Before v254 systemd does not say how much there is.
func TestWithoutStore(t *testing.T) {
	const restarts, requests, clients = 10, 2_000, 16
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, room := range []int{0, 1} {
			m.InstallUnit("app.socket", socket)
			m.InstallUnit("app.service", service(`{"HTTP":"inherited","IdleGrace":5000000000}`, fmt.Sprintf("FileDescriptorStoreMax=%d", room)))
			m.Systemctl("start", "app.socket", "app.service")
			result := restartUnderLoad(t, loadtest.Options{
				Address: "127.0.0.1:8080", Dial: m.Dial, Clients: clients, KeepAlive: true,
			}, restarts, requests, func() { m.Systemctl("restart", "app.service") })
			if n := result.Total.Counts.Reconnected; room == 0 && n == 0 {
				t.Error("no client reconnected: was the service restarted?")
			}
			m.Systemctl("stop", "app.socket", "app.service")
			if log := m.Journal("-u", "app.service"); !strings.Contains(log, handoff.ErrNotKept.Error()) {
				t.Errorf("room for %d: the program was not told that there is too little:\n%s", room, log)
			}
		}
	})
}

// TestResumptionAfterRestart: the client of a service with TLS resumes after a
// restart, and after a crash.
func TestResumptionAfterRestart(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("app.service", service(`{"HTTPS":"127.0.0.1:8443"}`, "Restart=on-failure", "RestartSec=0"))
		m.Systemctl("start", "app.service")
		cache := tls.NewLRUClientSessionCache(1)
		visit := func() bool {
			t.Helper()
			c, err := m.Dial(t.Context(), "tcp", "127.0.0.1:8443")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			tc := tls.Client(c, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, ClientSessionCache: cache})
			fmt.Fprint(tc, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			if answer, err := io.ReadAll(tc); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
				t.Fatalf("%q, %v", answer, err)
			}
			return tc.ConnectionState().DidResume
		}
		if visit() {
			t.Error("the first handshake resumed something")
		}
		for range 3 {
			m.Systemctl("restart", "app.service")
			if !visit() {
				t.Error("after a restart the handshake does not resume")
			}
		}
		// The port is in the store: the connection waits for the next generation.
		m.Systemctl("kill", "--signal=KILL", "app.service")
		if !visit() {
			t.Error("after a crash the handshake does not resume")
		}
	})
}
