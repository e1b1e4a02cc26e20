package handoff

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// release begins to replace old by g, which is ready, as handoffd does where old can
// resume. What is left goes to g only where deliver says so.
func (m *manager) release(old, g *generation, deliver bool) {
	m.t.Helper()
	old.await(parcel.Resumable+"=1", 1)
	m.commit(nil)
	if deliver {
		m.commit(g)
	}
	old.order("release", func(ctx context.Context) error { return old.deliverer.Release(ctx, uint64(g.number)) })
}

// order has the manager tell g something.
func (g *generation) order(what string, send func(context.Context) error) {
	g.m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	if err := send(ctx); err != nil {
		g.m.t.Fatalf("%s: %v", what, err)
	}
}

// replied waits until g has said that.
func (g *generation) replied(want parcel.Reply) {
	g.m.t.Helper()
	poll.Until(g.m.t, fmt.Sprintf("generation %d says %+v", g.number, want), func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return slices.Contains(g.replies, want)
	})
}

// handOver replaces old by g as handoffd does where old can resume.
func (m *manager) handOver(old *generation, app appConfig) *generation {
	m.t.Helper()
	g := m.spawn(app)
	g.await("READY=1", 1)
	m.release(old, g, true)
	m.takeOver(old, g)
	return g
}

// takeOver has g take over what old, which was told to release, leaves.
func (m *manager) takeOver(old, g *generation) {
	m.t.Helper()
	old.replied(parcel.Reply{Released: uint64(g.number)})
	m.reclaim(old)
	poll.Until(m.t, "the successor has taken all", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return !slices.ContainsFunc(m.store, func(s *stored) bool { return s.holder == g && s.delivery != 0 })
	})
	g.owned()
	old.stop()
}

// resume has old go on, since g, its successor, has failed; g may not be over.
func (m *manager) resume(old, g *generation) {
	m.t.Helper()
	m.mu.Lock()
	m.current = old
	m.takeBack(old)
	m.mu.Unlock()
	old.order("resume", func(ctx context.Context) error { return old.deliverer.Resume(ctx, uint64(g.number)) })
}

// counters of a service that is asked by UDP.
func askCount(t *testing.T, addr string) int64 {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 64)
	n := 0
	poll.Until(t, "somebody answers", func() bool {
		c.Write([]byte("0"))
		c.SetReadDeadline(time.Now().Add(time.Second)) // while nobody reads the answer takes its time
		n, err = c.Read(b)
		return err == nil
	})
	v, err := strconv.ParseInt(string(b[:n]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// world is a service with something of everything, and its clients.
type world struct {
	t                  *testing.T
	m                  *manager
	app                appConfig
	http, echo, packet string
	load               *loadtest.Load
	summers            []*summer
	counted            int64
}

func newWorld(t *testing.T) *world {
	m := newManager(t)
	m.overlap = true
	w := &world{
		t: t, m: m,
		http:   m.listen("http", "tcp", "127.0.0.1:0"),
		echo:   m.listen("echo", "tcp", "127.0.0.1:0"),
		packet: m.listen("packet", "udp", "127.0.0.1:0"),
		app:    appConfig{HTTP: inherited, Echo: inherited, Packet: inherited, State: 1},
	}
	return w
}

// clients has clients come, and stay until check.
func (w *world) clients() {
	w.t.Helper()
	var err error
	w.load, err = loadtest.Start(w.t.Context(), loadtest.Options{
		URL: "http://" + w.http + "/sum", Clients: 8, KeepAlive: true, PostEvery: 1,
		Check: loadtest.ByMethod(nil, loadtest.Digest), Duration: 10 * time.Minute, Timeout: poll.Patience,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for range 300 { // more than one message of a parcel holds
		c, err := net.Dial("tcp", w.echo)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { c.Close() })
		w.summers = append(w.summers, newSummer(c))
	}
	w.step()
}

// step has every client do something, and something counted.
func (w *world) step() {
	w.t.Helper()
	progress(w.t, w.load, 50)
	var wg sync.WaitGroup
	for i, s := range w.summers {
		wg.Go(func() {
			if err := s.step(); err != nil {
				w.t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	c, err := net.Dial("udp", w.packet)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	c.Write([]byte("5"))
	w.counted += 5
	poll.UntilEqual(w.t, "the count", w.counted, func() int64 { return askCount(w.t, w.packet) })
}

// check has no client miss anything.
func (w *world) check() {
	w.t.Helper()
	w.step()
	w.load.Stop()
	result, err := w.load.Wait()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := result.Err(); err != nil {
		w.t.Error(err)
	}
	if n := result.Total.Counts.Reconnected; n != 0 {
		w.t.Errorf("clients reconnected %d times", n)
	}
}

// TestHandOver replaces a service with something of everything, each time so that
// the predecessor could resume.
func TestHandOver(t *testing.T) {
	w := newWorld(t)
	g := w.m.start(w.app)
	w.clients()
	for range 5 {
		old := g
		g = w.m.handOver(old, w.app)
		if c := old.counters(); c.Closed != 0 || c.Refused != 0 || c.StatesOut != 1 || c.CarriedOut < 300 {
			t.Errorf("%+v", c)
		}
		w.step()
	}
	w.check()
	g.stop()
}

// TestResume: the successor fails while it takes over, and the predecessor goes on
// with what it had, again and again. Then a good one takes over.
func TestResume(t *testing.T) {
	for name, c := range map[string]struct {
		crash   string // of the successor
		early   bool   // it is killed before it is given anything
		running bool   // it is not over when the predecessor resumes
	}{
		"refuses the state":            {crash: "refuse"},
		"refuses the state, not over":  {crash: "refuse", running: true},
		"hangs":                        {crash: "hang", running: true},
		"dies before it has anything":  {early: true},
		"dies before all was released": {early: true, running: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			g := w.m.start(w.app)
			w.clients()
			bad := w.app
			bad.Crash, bad.DrainTimeout = c.crash, poll.Patience
			for range 3 {
				next := w.m.spawn(bad)
				next.await("READY=1", 1)
				w.m.release(g, next, !c.early)
				if !c.early || !c.running {
					g.replied(parcel.Reply{Released: uint64(next.number)})
					w.m.reclaim(g)
				}
				switch {
				case c.early:
					next.cmd.Process.Kill()
				case c.crash == "hang":
					next.printed("hangs")
					next.signal(os.Interrupt)
				case c.running:
					next.await("STOPPING=1", 1)
				}
				if !c.running {
					next.wait()
					next.close()
				}
				w.m.resume(g, next)
				g.replied(parcel.Reply{Resumed: uint64(next.number)})
				next.wait()
				next.close()
				w.step()
			}
			g = w.m.handOver(g, w.app)
			w.check()
			g.stop()
			if c := g.counters(); c.StatesIn != 1 || c.StatesOut != 1 {
				t.Errorf("%+v", c)
			}
		})
	}
}

// TestResumeBesideWork: the predecessor goes on at once, though a request that began
// before is not over, and does not release again before that is.
func TestResumeBesideWork(t *testing.T) {
	w := newWorld(t)
	g := w.m.start(w.app)
	slow, err := net.Dial("tcp", w.http)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	file := filepath.Join(t.TempDir(), "held")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(slow, "GET /held?%s HTTP/1.1\r\nHost: x\r\n\r\n", file)
	g.printed("held")
	w.clients()
	bad := w.m.spawn(w.app)
	bad.await("READY=1", 1)
	w.m.release(g, bad, false)
	poll.Until(t, "a parcel is in the store", func() bool { return len(w.m.stored()) > 1 }) // it has begun
	bad.cmd.Process.Kill()
	bad.wait()
	bad.close()
	w.m.resume(g, bad)
	g.replied(parcel.Reply{Resumed: uint64(bad.number)})
	w.step()
	next := w.m.spawn(w.app)
	next.await("READY=1", 1)
	w.m.release(g, next, true)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	w.m.takeOver(g, next)
	slow.SetDeadline(time.Now().Add(poll.Patience))
	r := bufio.NewReader(slow)
	for _, pid := range []int{g.cmd.Process.Pid, next.cmd.Process.Pid} {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		if want := fmt.Sprintf("pid %d\n", pid); string(body) != want {
			t.Errorf("the answer is %q, want %q", body, want)
		}
		w.counted++
		io.WriteString(slow, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	r.Peek(1) // the last answer
	w.counted++
	w.check()
	next.stop()
}

// TestStopAfterRelease: it ends well, and a second order changes nothing.
func TestStopAfterRelease(t *testing.T) {
	w := newWorld(t)
	g := w.m.start(w.app)
	w.clients()
	next := w.m.spawn(w.app)
	next.await("READY=1", 1)
	w.m.release(g, next, false)
	g.order("release", func(ctx context.Context) error { return g.deliverer.Release(ctx, 4711) })
	g.replied(parcel.Reply{Released: 4711})
	g.stop()
	w.m.commit(next)
	next.owned()
	// A resume without a release does no harm.
	next.order("resume", func(ctx context.Context) error { return next.deliverer.Resume(ctx, 9) })
	next.replied(parcel.Reply{Resumed: 9})
	w.check()
	next.stop()
}

// TestResumable tells which services say that they can resume.
func TestResumable(t *testing.T) {
	for name, c := range map[string]struct {
		app  appConfig
		want bool
	}{
		"everything":         {appConfig{HTTP: inherited, Echo: inherited, State: 1}, true},
		"its own accept":     {appConfig{HTTP: inherited, Accept: true}, false},
		"an unknown server":  {appConfig{Echo: inherited, HTTP: inherited, AnyServer: true}, false},
		"nothing to be kept": {appConfig{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManager(t)
			m.overlap = true
			m.listen("http", "tcp", "127.0.0.1:0")
			m.listen("echo", "tcp", "127.0.0.1:0")
			g := m.start(c.app)
			if got := slices.Contains(g.said(), parcel.Resumable+"=1"); got != c.want {
				t.Errorf("it says %s, resumable: %v", strings.Join(g.said(), " "), got)
			}
			g.stop()
		})
	}
}
