package handoff

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// TestHTTP replaces a server under clients that keep their connections, half of
// their requests with a body.
func TestHTTP(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("http", "tcp", "127.0.0.1:0")
		app := appConfig{HTTP: inherited}
		g := m.start(app)
		load, err := loadtest.Start(t.Context(), loadtest.Options{
			URL:       "http://" + addr + "/",
			Clients:   16,
			KeepAlive: true,
			PostEvery: 2,
			Check:     loadtest.ByMethod(nil, loadtest.Digest),
			Duration:  10 * time.Minute,
			Timeout:   poll.Patience,
		})
		if err != nil {
			t.Fatal(err)
		}
		carried := uint64(0)
		const replacements = 10
		for range replacements {
			progress(t, load, 200)
			old := g
			g = m.replace(g, app)
			c := old.counters()
			carried += c.CarriedOut
			if c.Closed != 0 || c.Refused != 0 {
				t.Errorf("%+v", c)
			}
		}
		progress(t, load, 200)
		load.Stop()
		result, err := load.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if err := result.Err(); err != nil {
			t.Error(err)
		}
		if n := result.Total.Counts.Reconnected; n != 0 {
			t.Errorf("clients reconnected %d times", n)
		}
		if carried == 0 {
			t.Error("no connection was carried")
		}
		t.Logf("%d replacements, %v, carried %d", replacements, result.Total.Counts, carried)
		g.stop()
	})
}

// progress waits until clients have had n answers more.
func progress(t *testing.T, load *loadtest.Load, n int64) {
	t.Helper()
	want := load.Counts().OK + n
	poll.Until(t, "the clients make progress", func() bool { return load.Counts().OK >= want })
}

// TestCarry replaces a server under connections that have a state of their own.
func TestCarry(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("echo", "tcp", "127.0.0.1:0")
		app := appConfig{Echo: inherited}
		g := m.start(app)
		const clients, replacements = 32, 10
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range clients {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			s := newSummer(c)
			wg.Go(func() {
				defer s.Close()
				for {
					if err := s.step(); err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					select {
					case <-stop:
						return
					default:
					}
					if i%2 == 0 { // the others are idle for a while
						time.Sleep(10 * time.Millisecond)
					}
				}
			})
		}
		var out, in uint64
		for range replacements {
			time.Sleep(20 * time.Millisecond)
			old := g
			g = m.replace(g, app)
			c := old.counters()
			out += c.CarriedOut
			in += c.CarriedIn
			if c.Closed != 0 || c.Refused != 0 {
				t.Errorf("%+v", c)
			}
		}
		close(stop)
		wg.Wait()
		g.stop()
		in += g.counters().CarriedIn
		if out < clients || in != out {
			t.Errorf("carried out %d, in %d; want as many, and at least %d", out, in, clients)
		}
		t.Logf("carried %d", out)
	})
}

// TestHijacked: a connection that an http.Handler has turned over to a Carrier is
// carried, with what the client has sent ahead.
func TestHijacked(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("http", "tcp", "127.0.0.1:0")
		app := appConfig{HTTP: inherited, Hijack: true}
		g := m.start(app)
		const ahead = 3
		var clients []*summer
		for range 8 {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(poll.Patience))
			s := newSummer(c)
			request := []byte("GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: sum\r\n\r\n")
			for range ahead {
				s.next++
				s.sum += s.next
				request = binary.BigEndian.AppendUint64(request, s.next)
			}
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(s.r, nil)
			if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%v, %v", answer, err)
			}
			if _, err := io.ReadFull(s.r, make([]byte, 8*ahead)); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, s)
		}
		for range 3 {
			g = m.replace(g, app)
			if alive := Step(t, clients); alive != len(clients) {
				t.Fatalf("%d of %d connections went on", alive, len(clients))
			}
		}
		if r := g.reported(); len(r) > 0 {
			t.Errorf("reported %q", r)
		}
		g.stop()
	})
}

// TestBackPressure: carried connections beyond MaxConns wait in the parcel, and
// go to the next generation if their turn does not come.
func TestBackPressure(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("echo", "tcp", "127.0.0.1:0")
		app := appConfig{Echo: inherited}
		g := m.start(app)
		clients := connect(t, addr, 300)
		few := app
		few.MaxConns = 10
		if m.overlap {
			old := g
			g = m.spawn(few)
			g.await("READY=1", 1)
			m.commit(g)
			old.stop()
			m.commit(nil)
		} else {
			g = m.restart(g, few)
		}
		poll.UntilEqual(t, "the number of connections adopted", 10, func() int { return strings.Count(g.out.String(), "adopted") })
		g.stop()
		if c := g.counters(); c.Closed != 0 || c.Refused != 0 {
			t.Errorf("of 10 at once: %+v", c)
		}
		next := m.start(app)
		if alive := Step(t, clients); alive != len(clients) {
			t.Errorf("%d of %d connections went on", alive, len(clients))
		}
		next.stop()
	})
}

// TestSeveralListeners: a socket unit may have several sockets under one name.
// Connections of each are carried.
func TestSeveralListeners(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addrs := map[string]string{
			"tcp":  m.listen("http", "tcp", "127.0.0.1:0"),
			"unix": m.listen("http", "unix", filepath.Join(m.dir, "http")),
		}
		app := appConfig{HTTP: several}
		g := m.start(app)
		var dials atomic.Int64
		var clients []*http.Client
		for network, addr := range addrs {
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				dials.Add(1)
				return new(net.Dialer).DialContext(ctx, network, addr)
			}}
			defer transport.CloseIdleConnections()
			clients = append(clients, &http.Client{Transport: transport, Timeout: poll.Patience})
		}
		for range 4 {
			for _, client := range clients {
				answer, err := client.Get("http://localhost/")
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			g = m.replace(g, app)
		}
		if n := dials.Load(); n != int64(len(clients)) {
			t.Errorf("%d clients connected %d times", len(clients), n)
		}
		g.stop()
	})
}
