package resource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// Go serves c, which it owns from now on, also when it fails. state is what the ConnFunc
// is given.
func (k *Carrier) Go(c net.Conn, state []byte) error {
	if k.slots != nil {
		select {
		case k.slots <- struct{}{}:
		default:
			c.Close()
			return fmt.Errorf("handoff: carrier %q: more than %d connections", k.name, cap(k.slots))
		}
	}
	return k.start(c, state, true)
}

// start serves c in a goroutine. slot says that the caller has taken one.
func (k *Carrier) start(c net.Conn, state []byte, slot bool) error {
	conn := &carried{Conn: c, p: k.env.Present(), slot: slot && k.slots != nil}
	k.mu.Lock()
	closed := k.ended[conn.p]
	if !closed {
		k.live[conn] = struct{}{}
		k.count[conn.p]++
	}
	k.mu.Unlock()
	if closed {
		c.Close()
		k.env.Report.Count.Closed.Add(1)
		k.free(conn)
		return fmt.Errorf("handoff: carrier %q: %w", k.name, report.ErrDraining)
	}
	go k.run(conn, state)
	return nil
}

// goOn serves a connection that was carried.
func (k *Carrier) goOn(c net.Conn, r protocol.Record, slot bool) {
	if len(r.Unread) > 0 {
		c = &unreadConn{Conn: c, unread: r.Unread}
	}
	k.start(c, r.Data, slot) // if it is too late for that, it has closed c
}

// take waits for a slot.
func (k *Carrier) take(ctx context.Context) error {
	if k.slots == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case k.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Carrier) free(c *carried) {
	if c.slot {
		<-k.slots
	}
}

// run serves one connection to its end here.
func (k *Carrier) run(c *carried, state []byte) {
	ctx := c.p.Carrying
	if socketOf(c.Conn) == nil {
		ctx = c.p.Finishing
	}
	if ctx.Err() != nil {
		c.SetReadDeadline(past)
	}
	carry, err := k.serve(ctx, c.Conn, state)
	k.mu.Lock()
	c.returned = true // nobody wakes it any more
	cut := k.ended[c.p]
	k.mu.Unlock()
	if cut {
		c.Close()
	} else {
		k.finish(ctx, c, carry, err)
	}
	k.mu.Lock()
	delete(k.live, c)
	if k.count[c.p]--; k.count[c.p] == 0 {
		delete(k.count, c.p)
		k.idle.Broadcast()
	}
	k.mu.Unlock()
	k.free(c)
}

// finish carries a connection on, or closes it.
func (k *Carrier) finish(ctx context.Context, c *carried, carry []byte, err error) {
	switch cause := context.Cause(ctx); {
	case errors.Is(err, report.ErrRefused):
		k.refused.Do(func() { k.env.Report.Reportf("carrier %q: connection with %v: %w", k.name, c.RemoteAddr(), err) })
		k.env.Report.Count.Refused.Add(1)
		c.Close()
		return
	case !errors.Is(err, report.ErrCarry):
		c.Close()
		if cause != nil {
			k.env.Report.Count.Finished.Add(1)
		}
		return
	case cause == nil:
		k.env.Report.Reportf("connection with %v: %w: carrier %q returned report.ErrCarry, and nothing drains", c.RemoteAddr(), report.ErrLost, k.name)
	case errors.Is(cause, report.ErrNoSuccessor):
		// It was told.
	default:
		unread, err := buffered(c.Conn)
		if err != nil {
			k.env.Report.Lose(c, err)
			return
		}
		e := protocol.Entry{Kind: protocol.KindConn, Name: k.name, Record: protocol.Record{Unread: unread, Data: carry}}
		c.p.sendOnOrClose(k.env, k.outbound(c.Conn, e))
		return
	}
	c.Close()
	k.env.Report.Count.Closed.Add(1)
}

// maxBuffered bounds what a connection may hold back of what it has read.
const maxBuffered = 1 << 20

// buffered returns what c, where it is no bare socket, has read from the socket
// and not given to the program: a Read after the deadline returns that, and no
// more.
func buffered(c net.Conn) ([]byte, error) {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return nil, nil
	}
	var all []byte
	b := make([]byte, 4096)
	c.SetReadDeadline(past)
	for len(all) <= maxBuffered {
		n, err := c.Read(b)
		all = append(all, b[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return all, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, fmt.Errorf("%T has more than %d bytes buffered", c, maxBuffered)
}

// wake has the ConnFuncs of a period return, until ctx ends. It goes on waking them,
// since one may set a deadline after it was woken.
func (k *Carrier) wake(ctx context.Context, p *Period) {
	began := time.Now()
	for pause := 20 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 100*time.Millisecond) {
		k.mu.Lock()
		for c := range k.live {
			if c.p != p || c.returned {
				continue
			}
			c.SetReadDeadline(past)
			if time.Since(began) >= writeGrace {
				c.SetWriteDeadline(past)
			}
		}
		k.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// end waits until nothing of a period is served any more, cuts what is left when ctx
// ends, and returns how much that was.
func (k *Carrier) end(ctx context.Context, p *Period) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.await(ctx, p)
	k.ended[p] = true
	n := 0
	for c := range k.live {
		if c.p == p {
			c.Close()
			n++
		}
	}
	after, cancel := context.WithTimeout(context.Background(), afterCut)
	defer cancel()
	k.await(after, p)
	return n
}

// await waits until nothing of a period is live or ctx ends. The caller holds k.mu.
func (k *Carrier) await(ctx context.Context, p *Period) {
	stop := context.AfterFunc(ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.idle.Broadcast()
	})
	defer stop()
	for k.count[p] > 0 && ctx.Err() == nil {
		k.idle.Wait()
	}
}
