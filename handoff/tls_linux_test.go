package handoff

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/units/poll"
)

// TestResumption: a client's next handshake resumes, across restarts, reloads and
// crashes.
func TestResumption(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("https", "tcp", "127.0.0.1:0")
		app := appConfig{HTTPS: inherited}
		g := m.start(app)
		m.holds(protocol.ManifestPrefix)
		config := &tls.Config{
			ServerName:         "localhost",
			InsecureSkipVerify: true,
			ClientSessionCache: tls.NewLRUClientSessionCache(8),
		}
		visit := func() (resumed bool, body string) {
			t.Helper()
			c, err := tls.Dial("tcp", addr, config)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(poll.Patience))
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			answer, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
				t.Fatalf("%q, %v", answer, err)
			}
			return c.ConnectionState().DidResume, string(answer)
		}
		if resumed, _ := visit(); resumed {
			t.Error("the first handshake resumed something")
		}
		for i := range 5 {
			g = m.replace(g, app)
			m.holds(protocol.ManifestPrefix)
			if resumed, _ := visit(); !resumed {
				t.Errorf("after %d replacements the handshake does not resume", i+1)
			}
		}
		m.commit(nil)
		g.cmd.Process.Kill()
		g.wait()
		g.close()
		g = m.start(app)
		if resumed, _ := visit(); !resumed {
			t.Error("after a crash the handshake does not resume")
		}
		g.stop()
	})
}
