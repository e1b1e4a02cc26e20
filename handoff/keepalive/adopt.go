package keepalive

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// An adoption is what sets the first request on an adopted connection apart.
// For net/http the connection is new; for the client it is one on which
// requests may have been answered already.
type adoption struct {
	at      time.Time
	waiting bool          // nothing of the first request has been read
	late    time.Duration // when its first byte came, after at
	strip   int           // how many more CR and LF may come before it
}

// leadingCRLF is how many CR and LF net/http skips after a POST, before the next
// request, for old clients. The next server does not know whether a POST came
// last, and lets them pass.
const leadingCRLF = 4

// trim cuts off p what belongs to no request.
func (a *adoption) trim(p []byte) []byte {
	for a.strip > 0 && len(p) > 0 && (p[0] == '\r' || p[0] == '\n') {
		a.strip--
		p = p[1:]
	}
	return p
}

// begin is called when the first byte comes on a connection that was adopted
// idle. Until now it was under the IdleTimeout; net/http, to which it was new,
// has let ReadHeaderTimeout and ReadTimeout run.
func (a *adoption) begin(c *conn) {
	a.waiting = false
	a.late = time.Since(a.at)
	var t time.Time
	if d := orRead(c.t.srv, c.t.srv.ReadHeaderTimeout); d > 0 {
		t = time.Now().Add(d)
	}
	c.deadline.set(t)
	c.Conn.SetReadDeadline(t)
	c.armed = time.Time{}
}

// orRead is d, or the server's ReadTimeout where d is not set.
func orRead(srv *http.Server, d time.Duration) time.Duration {
	if d != 0 {
		return d
	}
	return srv.ReadTimeout
}

// adopt makes c one that was carried in with readAhead.
func (c *conn) adopt(readAhead []byte) {
	a := &adoption{at: time.Now(), strip: leadingCRLF}
	c.adoption.Store(a)
	c.held = append(c.held, a.trim(readAhead)...)
	a.waiting = len(c.held) == 0
	if d := orRead(c.t.srv, c.t.srv.IdleTimeout); a.waiting && d > 0 {
		t := a.at.Add(d)
		c.deadline.set(t)
		c.Conn.SetReadDeadline(t)
	}
}

// Adopt serves c, a connection that another server has given away, as if ln had
// accepted it: with ln's BaseContext, and by the server's own timeouts. readAhead
// is what came with it (see Carried). ln need not be served, and may be closed.
//
// On success the server owns c. If Drain, or Shutdown or Close of the server,
// has been called, the error is http.ErrServerClosed and c stays the caller's.
func (t *Tracker) Adopt(ln net.Listener, c net.Conn, readAhead []byte) error {
	if err := t.chained(); err != nil {
		return err
	}
	if ln == nil {
		return errors.New("keepalive: adopt connection: no listener is named that it came by")
	}
	nc := t.newConn(ln, c)
	t.mu.Lock()
	if t.drain.Load() != nil {
		t.mu.Unlock()
		return fmt.Errorf("keepalive: adopt connection from %v: %w", c.RemoteAddr(), http.ErrServerClosed)
	}
	nc.adopt(readAhead)
	q := t.enter(nc)
	t.mu.Unlock()
	if !q.push(nc) {
		c.SetReadDeadline(time.Time{})
		t.leave(nc)
		return fmt.Errorf("keepalive: adopt connection from %v: %w", c.RemoteAddr(), http.ErrServerClosed)
	}
	t.adopted.Add(1)
	return nil
}

// enter counts c among the live, and returns the queue by which it reaches the
// server. The caller holds t.mu.
func (t *Tracker) enter(c *conn) *queue {
	t.live[c] = struct{}{}
	q := t.queues[c.ln]
	if q == nil {
		q = &queue{ln: c.ln, conns: make(chan *conn), closed: make(chan struct{})}
		t.queues[c.ln] = q
		go t.srv.Serve(q) // ends when the server closes it
	}
	return q
}

// A queue is the listener by which adopted connections reach the server.
type queue struct {
	ln     net.Listener
	conns  chan *conn
	once   sync.Once
	closed chan struct{}
}

var _ net.Listener = (*queue)(nil)

// push reports whether the server has accepted c.
func (q *queue) push(c *conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.closed:
		return false
	}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

func (q *queue) Addr() net.Addr { return q.ln.Addr() }
