package handoff

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestResumption: a client's next handshake resumes, across restarts, reloads and
// crashes.
func TestResumption(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("https", "tcp", "127.0.0.1:0")
		app := appConfig{HTTPS: inherited}
		g := m.start(app)
		m.holds(manifestPrefix)
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
			c.SetDeadline(time.Now().Add(patience))
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
			m.holds(manifestPrefix)
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

// TestHTTP2: clients that speak HTTP/2 are told to go away, and lose no request.
func TestHTTP2(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("https", "tcp", "127.0.0.1:0")
		// On a busy machine a client may take longer for the next step of its handshake
		// than a server should wait.
		app := appConfig{HTTPS: inherited, Grace: patience / 2}
		g := m.start(app)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var answered, connections atomic.Int64
		for i := range 4 {
			transport := &http.Transport{
				ForceAttemptHTTP2: true,
				TLSClientConfig:   &tls.Config{ServerName: "localhost", InsecureSkipVerify: true},
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					connections.Add(1)
					return new(net.Dialer).DialContext(ctx, network, addr)
				},
			}
			defer transport.CloseIdleConnections() // not before all are done: it ends what is being opened
			client := &http.Client{Transport: transport, Timeout: patience}
			for range 4 { // streams at once
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						method, body := http.MethodGet, io.Reader(nil)
						if i%2 == 1 {
							method, body = http.MethodPost, strings.NewReader(strings.Repeat("body ", 500))
						}
						r, err := http.NewRequestWithContext(t.Context(), method, "https://localhost/", body)
						if err != nil {
							t.Error(err)
							return
						}
						answer, err := client.Do(r)
						if err != nil {
							t.Error(err)
							return
						}
						_, err = io.Copy(io.Discard, answer.Body)
						answer.Body.Close()
						if err != nil || answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
							t.Errorf("%s %s: %v", answer.Proto, answer.Status, err)
							return
						}
						answered.Add(1)
					}
				})
			}
		}
		const replacements = 5
		for range replacements {
			waitFor(t, func() bool { return answered.Load() > 100 }, "no answers")
			answered.Store(0)
			g = m.replace(g, app)
		}
		close(stop)
		wg.Wait()
		if n := connections.Load(); n < 4*(replacements+1) {
			t.Errorf("%d connections in %d replacements", n, replacements)
		}
		g.stop()
	})
}

// waitFor waits until cond holds.
func waitFor(t *testing.T, cond func() bool, what string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
