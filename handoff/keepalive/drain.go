package keepalive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Carried is a connection on its way from one server to the next.
type Carried struct {
	// Conn is the connection as it was accepted or adopted, with no deadline
	// set. It belongs to who receives the Carried, and stays open until he
	// closes it.
	Conn net.Conn

	// Listener is the one that it came in by, as it was given to Serve or Adopt.
	Listener net.Listener

	// ReadAhead is what was read from Conn of a request that no handler has
	// seen; it may be several requests, or part of one. The next server must be
	// given it (see Adopt), or the request is lost.
	ReadAhead []byte
}

// A drain is under way, or over.
type drain struct {
	take  func(Carried) error
	grace time.Duration
	since time.Time
	empty chan struct{} // closed once nothing is live and nothing accepts; guarded by Tracker.mu
	gone  chan struct{} // closed once HTTP/2 connections have ended as well; the same

	mu   sync.Mutex  // one take at a time
	over atomic.Bool // ctx has ended: what is left is cut
}

// Drain takes the server out of service without losing a request. It closes the
// listeners, and then gives every connection that it can prove clean to take:
// those that are idle, and those in the middle of a request that no handler has
// seen. A request whose handler runs is answered first. When no HTTP/1
// connection is left it calls the server's Shutdown, by which the remaining
// HTTP/2 connections are told to go away; earlier that would lose requests.
//
// take is called for one connection at a time, in goroutines of the server, and
// must return soon after ctx ends. If it fails it has not taken the connection, which is then
// finished here. It may also give a connection back later, see GiveBack. A nil take
// carries nothing.
//
// A connection that is finished gets 'Connection: close' with its next answer. If
// it is idle it is kept for Options.IdleGrace, in case a request is on its way.
//
// Drain returns when all that is done, with nil; hijacked connections are not
// waited for. When ctx ends before, what is left is cut, and the error says how
// many connections that were, and wraps ctx's. A second call returns
// http.ErrServerClosed.
func (t *Tracker) Drain(ctx context.Context, take func(Carried) error) error {
	d := &drain{
		take:  take,
		grace: t.grace,
		since: time.Now(),
		empty: make(chan struct{}),
		gone:  make(chan struct{}),
	}
	t.mu.Lock()
	if !t.drain.CompareAndSwap(nil, d) {
		t.mu.Unlock()
		return http.ErrServerClosed
	}
	var errs []error
	for l := range t.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("keepalive: close listener %v: %w", l.Addr(), err))
		}
	}
	// A connection that is not among these yet finds the drain by itself.
	conns := slices.Collect(maps.Keys(t.live))
	t.settle()
	t.mu.Unlock()
	for _, c := range conns {
		c.nudge(d)
	}
	err := t.finish(ctx, d)
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("keepalive: drain: connections cut: %d: %w", t.cutOff(d), ctx.Err())
	}
	return errors.Join(append(errs, err)...)
}

// finish waits for the end of all connections, in the order in which no request
// is lost.
func (t *Tracker) finish(ctx context.Context, d *drain) error {
	if err := await(ctx, d.empty); err != nil {
		return err
	}
	if t.flush != nil && d.take != nil {
		t.flush(ctx)
		t.mu.Lock()
		d.empty, d.gone = make(chan struct{}), make(chan struct{}) // what came back is live
		t.settle()
		t.mu.Unlock()
		if err := await(ctx, d.empty); err != nil {
			return err
		}
	}
	if err := t.srv.Shutdown(ctx); err != nil {
		return err
	}
	return await(ctx, d.gone)
}

// await waits for ch to be closed until ctx ends.
func await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle announces that nothing is left to wait for. The caller holds t.mu.
func (t *Tracker) settle() {
	d := t.drain.Load()
	if d == nil || len(t.live) > 0 || t.serving > 0 {
		return
	}
	shut(d.empty)
	if len(t.http2) == 0 {
		shut(d.gone)
	}
}

// shut closes c, if that was not done. The caller holds the lock that guards it.
func shut(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// carry gives c away. It stays among the live until that is done, and net/http,
// which waits in Read, learns of it afterwards.
func (t *Tracker) carry(d *drain, c *conn) {
	defer t.leave(c)
	c.Conn.SetDeadline(time.Time{})
	rest := c.rest()
	carried := Carried{Conn: c.Conn, Listener: c.ln, ReadAhead: rest}
	t.away(carried).Add(1)
	if d.give(carried) != nil {
		t.GiveBack(carried)
	}
}

// away returns the counter of connections such as c.
func (t *Tracker) away(c Carried) *atomic.Uint64 {
	if len(c.ReadAhead) == 0 {
		return &t.idle
	}
	return &t.partial
}

// give calls take, unless the drain is over.
func (d *drain) give(c Carried) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over.Load() {
		return context.DeadlineExceeded
	}
	return d.take(c)
}

// GiveBack returns a connection that take has taken, and that got nowhere. It is
// finished here, as if take had failed. It is called at the latest while
// Options.Flush runs: later the connection is cut.
func (t *Tracker) GiveBack(c Carried) {
	t.away(c).Add(^uint64(0))
	t.refused.Add(1)
	nc := t.newConn(c.Listener, c.Conn)
	nc.finish = true
	nc.adopt(c.ReadAhead)
	t.mu.Lock()
	q := t.enter(nc)
	t.mu.Unlock()
	if !q.push(nc) {
		nc.Close()
		t.leave(nc)
	}
}

// cutOff closes what the drain has left over, and returns how many connections
// that were.
func (t *Tracker) cutOff(d *drain) int {
	d.over.Store(true)
	d.mu.Lock() // the last take has returned
	t.mu.Lock()
	conns := slices.Collect(maps.Keys(t.live))
	n := len(conns) + len(t.http2)
	t.mu.Unlock()
	d.mu.Unlock()
	t.cut.Add(uint64(n))
	t.srv.Close()
	for _, c := range conns {
		c.Close() // net/http may not have known it yet
	}
	return n
}
