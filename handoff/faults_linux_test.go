package handoff

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/poll"
)

// connect opens connections to the echo listener.
func connect(t *testing.T, addr string, n int) []*summer {
	t.Helper()
	return Connect(t, func() (net.Conn, error) { return net.Dial("tcp", addr) }, n)
}

// Connect opens connections to the echo listener and has each answered once.
func Connect(t *testing.T, dial func() (net.Conn, error), n int) []*summer {
	t.Helper()
	var clients []*summer
	for range n {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		clients = append(clients, newSummer(c))
	}
	if alive := Step(t, clients); alive != n {
		t.Fatalf("%d of %d new connections work", alive, n)
	}
	return clients
}

// Step has each client go on, and returns how many can. A connection that is
// neither served nor closed fails the test, and so does a wrong answer.
func Step(t *testing.T, clients []*summer) (alive int) {
	t.Helper()
	for i, s := range clients {
		err := s.step()
		switch {
		case err == nil:
			alive++
		case errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "the sum is"):
			t.Fatalf("client %d: %v", i, err)
		}
	}
	return alive
}

// TestKilledWhileDraining kills a generation at each message that it sends while
// it drains. The listeners stay, the next generation takes over what there is,
// and nobody is left waiting.
func TestKilledWhileDraining(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		web := m.listen("http", "tcp", "127.0.0.1:0")
		addr := m.listen("echo", "tcp", "127.0.0.1:0")
		app := appConfig{HTTP: inherited, Echo: inherited, State: 1}
		g := m.start(app)
		m.holds(protocol.ManifestPrefix)
		for at := 1; ; at++ {
			clients := connect(t, addr, 4)
			get(t, web)
			count := 0
			old := g
			m.listenIn(func(from *generation, n *notify.Notification) {
				if from != old {
					return
				}
				if count > 0 || n.Message.Has("STOPPING", "1") {
					count++
				}
				if count == at {
					from.cmd.Process.Kill()
				}
			})
			var next *generation
			if m.overlap {
				next = m.spawn(app)
				next.await("READY=1", 1)
				m.commit(next)
			} else {
				m.commit(nil)
			}
			old.signal(syscall.SIGTERM)
			err := old.wait()
			old.close() // all that it has sent is heard by now
			m.listenIn(nil)
			if m.overlap {
				next.owned()
			} else {
				next = m.start(app)
			}
			g = next
			if alive := Step(t, clients); err == nil && alive != len(clients) {
				t.Errorf("%d of %d connections went on", alive, len(clients))
			}
			get(t, web)
			m.holds(protocol.ManifestPrefix)
			for _, r := range g.reported() {
				if !strings.Contains(r, parcel.ErrTruncated.Error()) {
					t.Errorf("killed at message %d: reported %q", at, r)
				}
			}
			if err == nil {
				if at < 6 {
					t.Errorf("a drain sent %d messages only", at)
				}
				t.Logf("killed at %d messages", at-1)
				break
			}
		}
		g.stop()
	})
}

// TestSuccessorDies has a generation die before and after it has taken
// connections out of the parcel. Those that it has not taken are the next one's.
func TestSuccessorDies(t *testing.T) {
	const n = 600 // several messages
	for _, c := range []struct {
		crash       string
		alive, most int
	}{
		{"open", n, n},
		{"load", n, n},
		{"adopt", 1, n - 1},
	} {
		t.Run(c.crash, func(t *testing.T) {
			m := newManager(t)
			addr := m.listen("echo", "tcp", "127.0.0.1:0")
			app := appConfig{Echo: inherited, State: 1}
			g := m.start(app)
			clients := connect(t, addr, n)
			m.commit(nil)
			g.stop()
			bad := app
			bad.Crash = c.crash
			g = m.spawn(bad)
			if err := g.wait(); err == nil {
				t.Error("it has not crashed")
			}
			g.close()
			g = m.start(app)
			alive := Step(t, clients)
			if alive < c.alive || alive > c.most {
				t.Errorf("%d of %d connections went on, want %d to %d", alive, n, c.alive, c.most)
			}
			if alive < n {
				g.mustReport(parcel.ErrTaken.Error())
			}
			t.Logf("%d of %d connections went on", alive, n)
			m.holds(protocol.ManifestPrefix)
			g.stop()
		})
	}
}

// TestStoreFull: what does not fit into the store is finished politely, and said
// so.
func TestStoreFull(t *testing.T) {
	for _, c := range []struct {
		limit int
		quiet bool // systemd does not say how much fits
		alive bool
		want  []string
	}{
		{0, false, false, nil},
		{0, true, false, []string{ErrNotKept.Error()}},
		{1, false, false, []string{parcel.LimitStore + " is 1, and there are 2"}},
		{2, false, true, []string{ErrNotKept.Error(), parcel.LimitStore + " is 2, and there are 3"}}, // no room for the manifest
		{3, false, true, nil},
	} {
		t.Run(fmt.Sprintf("%d quiet %v", c.limit, c.quiet), func(t *testing.T) {
			m := newManager(t)
			m.limit, m.quiet = c.limit, c.quiet
			web := m.listen("http", "tcp", "127.0.0.1:0")
			addr := m.listen("echo", "tcp", "127.0.0.1:0")
			app := appConfig{HTTP: inherited, Echo: inherited, State: 1}
			g := m.start(app)
			clients := connect(t, addr, 4)
			m.commit(nil)
			g.signal(syscall.SIGTERM)
			err := g.wait()
			g.close()
			if kept := c.limit > 0; (err == nil) != (kept || !c.quiet) {
				t.Errorf("it ended with %v", err)
			}
			if c.want != nil {
				g.mustReport(c.want...)
			} else if r := g.reported(); len(r) > 0 {
				t.Errorf("reported %q", r)
			}
			if n := len(m.stored()); n > c.limit {
				t.Errorf("%d entries in a store of %d", n, c.limit)
			}
			g = m.start(app)
			if alive := Step(t, clients); (alive == len(clients)) != c.alive {
				t.Errorf("%d of %d connections went on", alive, len(clients))
			}
			get(t, web)
			g.signal(syscall.SIGTERM)
			g.wait()
		})
	}
}

// TestForeignParcels has things in the store that are no parcels of this version.
func TestForeignParcels(t *testing.T) {
	m := newManager(t)
	addr := m.listen("http", "tcp", "127.0.0.1:0")
	put := func(name string, message []byte) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Send(fds[1], message, 0); err != nil {
			t.Fatal(err)
		}
		unix.Close(fds[1])
		m.store = append(m.store, &stored{name: name, file: os.NewFile(uintptr(fds[0]), name)})
	}
	put("handoff.parcel.newer", append([]byte("HFPARCEL\x63\x00\x00\x00"), make([]byte, 100)...))
	put("handoff.parcel.garbage", []byte("garbage"))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	m.store = append(m.store, &stored{name: "handoff.parcel.pipe", file: r})
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	m.store = append(m.store, &stored{name: "unknown", file: null})

	g := m.start(appConfig{HTTP: inherited})
	get(t, addr)
	g.mustReport("handoff.parcel.newer", "left for a later generation", parcel.ErrVersion.Error())
	g.mustReport("handoff.parcel.garbage", "removed", parcel.ErrFormat.Error())
	g.mustReport("handoff.parcel.pipe", "removed", parcel.ErrFormat.Error())
	g.mustReport(`"unknown"`, ErrUnknown.Error())
	m.holds(protocol.ManifestPrefix, protocol.ParcelPrefix)
	g.stop()
}

// TestFileLimit: a generation that may not open enough files for what waits takes
// what it can, and leaves the rest to the next.
func TestFileLimit(t *testing.T) {
	const n = 600
	m := newManager(t)
	addr := m.listen("echo", "tcp", "127.0.0.1:0")
	app := appConfig{Echo: inherited}
	g := m.start(app)
	clients := connect(t, addr, n)
	narrow := app
	narrow.Files = 100
	g = m.restart(g, narrow)
	g.mustReport(parcel.LimitFiles + " is 100")
	g = m.restart(g, app)
	if alive := Step(t, clients); alive != n {
		t.Errorf("%d of %d connections went on", alive, n)
	}
	m.holds(protocol.ManifestPrefix)
	g.stop()
}

// TestUnknownCarrier: connections whose Carrier is not in the next program are
// closed and counted, or wait in the store if it is told so.
func TestUnknownCarrier(t *testing.T) {
	bothWays(t, func(t *testing.T, m *manager) {
		addr := m.listen("echo", "tcp", "127.0.0.1:0")
		m.listen("http", "tcp", "127.0.0.1:0")
		app := appConfig{Echo: inherited, HTTP: inherited}
		g := m.start(app)
		clients := connect(t, addr, 4)
		other := appConfig{HTTP: inherited, KeepConns: poll.Patience}
		for range 2 {
			g = m.replace(g, other)
			if !slices.Contains(m.stored(), protocol.ParcelPrefix) {
				t.Errorf("the connections do not wait in the store: %q", m.stored())
			}
		}
		g = m.replace(g, app)
		if alive := Step(t, clients); alive != len(clients) {
			t.Errorf("%d of %d connections went on", alive, len(clients))
		}
		other.KeepConns = 0
		g = m.replace(g, other)
		g.mustReport("4 connections of conn echo", ErrUnknown.Error())
		if alive := Step(t, clients); alive != 0 {
			t.Errorf("%d of %d connections go on", alive, len(clients))
		}
		g.stop()
		if c := g.counters(); c.Refused != 4 {
			t.Errorf("%+v", c)
		}
	})
}

// TestFileLimitOfSender: a generation that has no descriptor to spare, since its
// clients have taken all, still passes its connections on.
func TestFileLimitOfSender(t *testing.T) {
	const n, more = 50, 50
	m := newManager(t)
	addr := m.listen("echo", "tcp", "127.0.0.1:0")
	app := appConfig{Echo: inherited}
	full := app
	full.Files = n + more/2
	g := m.start(full)
	clients := connect(t, addr, n)
	for range more { // these wait to be accepted, or to be served
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, newSummer(c))
	}
	poll.Until(t, "no descriptor is to spare", func() bool { return openFiles(t, g.cmd.Process.Pid) == int(full.Files) })
	g = m.restart(g, app)
	if alive := Step(t, clients); alive != n+more {
		t.Errorf("%d of %d connections went on", alive, n+more)
	}
	g.stop()
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
