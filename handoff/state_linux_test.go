package handoff

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/units/poll"
)

// get asks the server once, on a connection of its own.
func get(t *testing.T, addr string) {
	t.Helper()
	client := &http.Client{Timeout: poll.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
}

// TestState keeps a count over generations.
func TestState(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("http", "tcp", "127.0.0.1:0")
		app := appConfig{HTTP: inherited, State: 1}
		g := m.start(app)
		for i := 1; i <= 5; i++ {
			get(t, addr)
			g = m.replace(g, app)
			g.printed(fmt.Sprintf("loaded %d of version 1", i))
		}
		g.stop()
		if c := g.counters(); c.StatesIn != 1 || c.StatesOut != 1 {
			t.Errorf("%+v", c)
		}
		if !m.overlap {
			m.holds(protocol.ManifestPrefix, protocol.ParcelPrefix)
		}
	})
}

// TestStateVersion replaces a program by an older one, which cannot read the
// state, and that by the first again.
func TestStateVersion(t *testing.T) {
	t.Run("kept across a downgrade", func(t *testing.T) {
		m := newManager(t)
		addr := m.listen("http", "tcp", "127.0.0.1:0")
		v2, v1 := appConfig{HTTP: inherited, State: 2}, appConfig{HTTP: inherited, State: 1}
		g := m.start(v2)
		get(t, addr)
		for range 3 {
			g = m.restart(g, v1)
			g.mustReport("kept for a later generation", `state "count"`, ErrStateVersion.Error())
		}
		get(t, addr)
		g = m.restart(g, v2)
		g.printed("loaded 1 of version 2")
		g.stop()
	})
	t.Run("dropped where the option says so", func(t *testing.T) {
		m := newManager(t)
		addr := m.listen("http", "tcp", "127.0.0.1:0")
		g := m.start(appConfig{HTTP: inherited, State: 2})
		get(t, addr)
		g = m.restart(g, appConfig{HTTP: inherited, State: 1, Unreadable: Drop})
		g.mustReport("dropped", ErrStateVersion.Error())
		m.holds(protocol.ManifestPrefix)
		g.stop()
	})
	t.Run("expires", func(t *testing.T) {
		m := newManager(t)
		m.listen("http", "tcp", "127.0.0.1:0")
		g := m.start(appConfig{HTTP: inherited, State: 2})
		g = m.restart(g, appConfig{HTTP: inherited, State: 1, KeepStates: time.Nanosecond})
		g.mustReport("dropped", ErrStateVersion.Error())
		g.stop()
	})
	t.Run("of several the last is loaded", func(t *testing.T) {
		m := newManager(t)
		addr := m.listen("http", "tcp", "127.0.0.1:0")
		g := m.start(appConfig{HTTP: inherited, State: 2})
		get(t, addr)
		g = m.restart(g, appConfig{HTTP: inherited, State: 1})
		for range 3 {
			get(t, addr)
		}
		g = m.restart(g, appConfig{HTTP: inherited, State: 2, Accepts: []uint32{1}})
		g.printed("loaded 3 of version 1")
		g.mustReport("a later one was there")
		g.stop()
	})
	t.Run("a reload is refused before READY", func(t *testing.T) {
		m := newManager(t)
		m.overlap = true
		addr := m.listen("http", "tcp", "127.0.0.1:0")
		v2 := appConfig{HTTP: inherited, State: 2}
		g := m.start(v2)
		m.holds(protocol.ManifestPrefix)
		get(t, addr)
		bad := m.spawn(appConfig{HTTP: inherited, State: 1})
		if err := bad.wait(); err == nil {
			t.Error("a program that cannot read the state became ready")
		}
		if !strings.Contains(bad.out.String(), ErrStateVersion.Error()) || slices.Contains(bad.said(), "READY=1") {
			t.Errorf("it said %q and printed\n%s", bad.said(), bad.out.String())
		}
		bad.close()
		get(t, addr)
		g = m.reload(g, v2)
		g.printed("loaded 2 of version 2")
		// A generation that is started alone is not refused, since nothing can be undone.
		m.commit(nil)
		g.stop()
		g = m.spawn(appConfig{HTTP: inherited, State: 1})
		g.owned()
		g.await("READY=1", 1)
		g.mustReport("kept for a later generation")
		g.stop()
	})
}

// TestStateRefused has a program that finds the contents of a state wrong, or
// dies of them. The next generation finds them as they were.
func TestStateRefused(t *testing.T) {
	for _, crash := range []string{"refuse", "load"} {
		t.Run(crash, func(t *testing.T) {
			bothWays(t, func(t *testing.T, m *manager) {
				addr := m.listen("http", "tcp", "127.0.0.1:0")
				app := appConfig{HTTP: inherited, State: 1}
				g := m.start(app)
				get(t, addr)
				m.commit(nil)
				g.stop()
				bad := app
				bad.Crash = crash
				g = m.spawn(bad)
				if m.overlap {
					g.owned()
				}
				if err := g.wait(); err == nil {
					t.Error("a generation that could not load its state ended well")
				}
				if crash == "refuse" && !strings.Contains(g.out.String(), "make no sense") {
					t.Errorf("it printed\n%s", g.out.String())
				}
				g.close()
				g = m.start(app)
				g.printed("loaded 1 of version 1")
				get(t, addr)
				g.stop()
			})
		})
	}
}

// TestPacket sends numbered datagrams at a steady pace across generations: each
// is counted once.
func TestPacket(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("packet", "udp", "127.0.0.1:0")
		app := appConfig{Packet: inherited, State: 1}
		g := m.start(app)
		c, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		stop := make(chan struct{})
		sent := make(chan int64)
		go func() {
			tick := time.NewTicker(500 * time.Microsecond)
			defer tick.Stop()
			sum := int64(0)
			for i := int64(1); ; i++ {
				select {
				case <-tick.C:
				case <-stop:
					sent <- sum
					return
				}
				if _, err := c.Write(strconv.AppendInt(nil, i, 10)); err == nil {
					sum += i
				}
			}
		}()
		for range 8 {
			time.Sleep(20 * time.Millisecond)
			g = m.replace(g, app)
		}
		close(stop)
		want := <-sent
		// A busy kernel may deliver a datagram long after later ones.
		b := make([]byte, 64)
		poll.UntilEqual(t, "the count", fmt.Sprint(want), func() string {
			c.Write([]byte("0"))
			c.SetReadDeadline(time.Now().Add(time.Second))
			n, _ := c.Read(b)
			return string(b[:n])
		})
		g.stop()
		if got := g.printed("saved"); got != fmt.Sprintf("saved %d", want) {
			t.Errorf("%s, want %d", got, want)
		}
	})
}
