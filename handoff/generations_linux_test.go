package handoff

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
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
			Duration:  patience,
			Timeout:   patience,
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
	deadline := time.Now().Add(patience)
	for want := load.Counts().OK + n; load.Counts().OK < want; {
		if time.Now().After(deadline) {
			t.Fatalf("clients make no progress: %v", load.Counts())
		}
		time.Sleep(time.Millisecond)
	}
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
