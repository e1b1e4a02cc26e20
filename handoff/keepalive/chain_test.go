package keepalive

import (
	"context"
	"errors"
	"flag"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

var generations = flag.Int("generations", 10, "how many servers the tests with clients replace, one after the other")

// A hub hands the connections of one listener to whoever accepts: a socket that
// several generations share. Nothing is lost while nobody accepts.
type hub struct {
	addr  net.Addr
	conns chan net.Conn
}

func newHub(t *testing.T) *hub {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{addr: ln.Addr(), conns: make(chan net.Conn)}
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			select {
			case h.conns <- c:
			case <-stop:
				c.Close()
			}
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		close(stop)
		<-done
	})
	return h
}

// share returns a listener on the hub's socket that can be closed by itself.
func (h *hub) share() net.Listener { return &share{hub: h, closed: make(chan struct{})} }

type share struct {
	*hub
	once   sync.Once
	closed chan struct{}
}

func (s *share) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *share) Close() error   { s.once.Do(func() { close(s.closed) }); return nil }
func (s *share) Addr() net.Addr { return s.addr }

// start serves ln with a server of its own, and sees to its end.
func start(t *testing.T, ln net.Listener, srv *http.Server, o Options) *Tracker {
	t.Helper()
	tr := New(srv, o)
	serve(t, tr, ln)
	return tr
}

func serve(t *testing.T, tr *Tracker, ln net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ln) }()
	t.Cleanup(func() {
		tr.srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v, want http.ErrServerClosed", err)
		}
	})
}

func drainContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	t.Cleanup(cancel)
	return ctx
}

// TestChain hands every connection of ten kinds of clients from server to
// server, over and over, and no client notices.
func TestChain(t *testing.T) {
	for _, order := range []string{"overlap", "restart"} {
		t.Run(order, func(t *testing.T) {
			leaktest.Check(t)
			h := newHub(t)
			old := start(t, h.share(), &http.Server{Handler: http.HandlerFunc(echo)}, Options{})
			l := startLoad(t, h.addr.String(), 3)
			var total Counts
			for range *generations {
				l.progress(t, 3)
				next := &http.Server{Handler: http.HandlerFunc(echo)}
				var tr *Tracker
				if order == "overlap" {
					tr = start(t, h.share(), next, Options{})
					if err := old.Drain(drainContext(t), func(c Carried) error {
						return tr.Adopt(c.Listener, c.Conn, c.ReadAhead)
					}); err != nil {
						t.Fatal(err)
					}
				} else {
					var parcel []Carried
					if err := old.Drain(drainContext(t), func(c Carried) error {
						parcel = append(parcel, c)
						return nil
					}); err != nil {
						t.Fatal(err)
					}
					tr = start(t, h.share(), next, Options{})
					for _, c := range parcel {
						if err := tr.Adopt(c.Listener, c.Conn, c.ReadAhead); err != nil {
							t.Fatal(err)
						}
					}
				}
				c := old.Counts()
				total.Idle += c.Idle
				total.Partial += c.Partial
				total.Finished += c.Finished
				if c.Live != 0 || c.Refused != 0 || c.Cut != 0 {
					t.Errorf("after the drain: %+v", c)
				}
				old = tr
			}
			l.check(t, false)
			t.Logf("%d generations, taken idle %d, in mid-request %d, ended meanwhile %d", *generations, total.Idle, total.Partial, total.Finished)
			if total.Idle == 0 || total.Partial == 0 {
				t.Errorf("taken idle %d, in mid-request %d: want both", total.Idle, total.Partial)
			}
			if err := old.Drain(drainContext(t), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDrainWithoutTake replaces servers that carry nothing: clients are told to
// close, and none loses a request.
func TestDrainWithoutTake(t *testing.T) {
	leaktest.Check(t)
	h := newHub(t)
	o := Options{IdleGrace: poll.Patience / 2} // no client is idle for so long
	old := start(t, h.share(), &http.Server{Handler: http.HandlerFunc(echo)}, o)
	l := startLoad(t, h.addr.String(), 2)
	for range 10 {
		l.progress(t, 3)
		next := start(t, h.share(), &http.Server{Handler: http.HandlerFunc(echo)}, o)
		if err := old.Drain(drainContext(t), nil); err != nil {
			t.Fatal(err)
		}
		if c := old.Counts(); c.Live != 0 || c.Finished == 0 || c.Idle+c.Partial+c.Cut != 0 {
			t.Errorf("after the drain: %+v", c)
		}
		old = next
	}
	l.check(t, true)
	var closed int64
	for _, ta := range l.tallies {
		closed += ta.closed.Load()
	}
	if closed == 0 {
		t.Error("no client was told to close")
	}
}
