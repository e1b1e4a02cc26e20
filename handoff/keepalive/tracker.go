package keepalive

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Tracker. The zero value works.
type Options struct {
	// IdleGrace is how long Drain keeps an idle connection that it does not carry,
	// so that a request that is on its way is answered, with 'Connection: close'.
	// 0 means 500 ms; a negative one means no grace.
	IdleGrace time.Duration

	// Flush, where not nil, is called by Drain once each connection was given to
	// take or has ended, and nothing else is being taken. A take that returns before
	// it is certain that its connection gets anywhere makes sure of that here, and
	// gives back what does not; see GiveBack. Flush returns soon after ctx ends.
	Flush func(ctx context.Context)
}

const defaultGrace = 500 * time.Millisecond

// A Tracker knows where each connection of one http.Server stands, and can take
// them out of it. Make it with New. Its methods may be called at any time and
// from several goroutines.
type Tracker struct {
	srv   *http.Server
	grace time.Duration
	flush func(context.Context)

	// readSize, where it is not 0, is what net/http's first Read asks for.
	readSize int
	preface  bool // a connection may turn out to be HTTP/2 in the clear

	drain atomic.Pointer[drain]

	mu        sync.Mutex
	live      map[*conn]struct{} // what Drain waits for
	http2     map[*conn]struct{} // what Shutdown waits for
	serving   int                // calls of Serve and ServeTLS
	listeners map[*listener]struct{}
	queues    map[net.Listener]*queue
	contexts  map[net.Listener]func() context.Context

	counters
}

// New prepares srv for serving with a Tracker: it chains Handler, ConnState,
// ConnContext and BaseContext. Set up srv before, and serve it by the Tracker's
// methods only. The hooks are called as without it, with the connection and the
// listener as they were, not with a wrapper; BaseContext is called once for each
// listener. ConnState is where to learn of hijacked connections.
func New(srv *http.Server, o Options) *Tracker {
	t := &Tracker{
		srv:       srv,
		grace:     o.IdleGrace,
		flush:     o.Flush,
		live:      make(map[*conn]struct{}),
		http2:     make(map[*conn]struct{}),
		listeners: make(map[*listener]struct{}),
		queues:    make(map[net.Listener]*queue),
		contexts:  make(map[net.Listener]func() context.Context),
	}
	switch {
	case t.grace == 0:
		t.grace = defaultGrace
	case t.grace < 0:
		t.grace = 0
	}
	if p := srv.Protocols; p != nil && p.UnencryptedHTTP2() {
		// net/http's first Read looks for the preface of HTTP/2 and asks for no
		// more than that: it does not tell how large the buffer is.
		t.preface = true
		t.readSize = bufio.NewReader(nil).Size()
	}
	t.chain()
	return t
}

// Serve serves ln as srv.Serve does, with every connection tracked, until Drain,
// or Shutdown or Close of the server, is called: then the error is
// http.ErrServerClosed. It closes ln. Several listeners may be served at once.
//
// ln's connections must not be TLS already: for TLS use ServeTLS.
func (t *Tracker) Serve(ln net.Listener) error {
	return t.serve(&listener{Listener: ln, t: t}, t.srv.Serve)
}

// ServeTLS serves ln as srv.ServeTLS does, and otherwise as Serve. TLS
// connections are not carried, since their keys stay in this process: Drain
// finishes them.
func (t *Tracker) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	return t.serve(&listener{Listener: ln, t: t, opaque: true}, func(l net.Listener) error {
		return t.srv.ServeTLS(l, certFile, keyFile)
	})
}

func (t *Tracker) serve(l *listener, serve func(net.Listener) error) error {
	defer l.Close()
	if err := t.chained(); err != nil {
		return err
	}
	t.mu.Lock()
	if t.drain.Load() != nil {
		t.mu.Unlock()
		return http.ErrServerClosed
	}
	t.serving++
	t.listeners[l] = struct{}{}
	t.mu.Unlock()
	err := serve(l)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serving--
	delete(t.listeners, l)
	t.settle()
	switch {
	case l.err != nil:
		return l.err
	case t.drain.Load() != nil:
		return http.ErrServerClosed
	}
	return err
}

// chained reports whether the server still calls the tracker's handler.
func (t *Tracker) chained() error {
	if h, ok := t.srv.Handler.(*handler); !ok || h.t != t {
		return errors.New("keepalive: the server's Handler was replaced after New: set it before")
	}
	return nil
}

// newConn wraps c, which came in by ln.
func (t *Tracker) newConn(ln net.Listener, c net.Conn) *conn {
	return &conn{Conn: c, t: t, ln: ln}
}

// leave takes c from the live.
func (t *Tracker) leave(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, c)
	delete(t.http2, c)
	t.settle()
}

// becameHTTP2 leaves c to net/http.
func (t *Tracker) becameHTTP2(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, c)
	t.http2[c] = struct{}{}
	t.settle()
}

// A listener tracks the connections that it accepts.
type listener struct {
	net.Listener
	t      *Tracker
	opaque bool  // TLS is spoken on them
	err    error // why Accept gave up
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if _, ok := raw.(interface{ ConnectionState() tls.ConnectionState }); ok {
		raw.Close()
		l.err = fmt.Errorf("keepalive: listener %v: its connections are TLS already (%T): serve the listener below with ServeTLS", l.Addr(), raw)
		return nil, l.err
	}
	c := l.t.newConn(l.Listener, raw)
	if l.opaque {
		c.lose()
	}
	l.t.mu.Lock()
	l.t.live[c] = struct{}{}
	l.t.mu.Unlock()
	return c, nil
}
