package resource

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A gate is a listener that can stop accepting without being closed: what waits in
// its queue, and what comes, is for whoever accepts next. And a server that accepts
// does not see that it is out of the rotation at times.
type gate struct {
	net.Listener
	rotation membership
	name     string // empty where the listener is not the Service's
	secure   bool   // TLS is spoken on its connections
	once     sync.Once
	stopped  atomic.Bool // by stop: that a server serves it no longer is no failure
	closed   chan struct{}
}

// membership is what a gate asks of a rotation.Membership.
type membership interface {
	Returns() uint64
	Returning() <-chan struct{}
}

var _ net.Listener = (*gate)(nil)

func newGate(m membership, ln net.Listener, name string, secure bool) *gate {
	return &gate{Listener: ln, rotation: m, name: name, secure: secure, closed: make(chan struct{})}
}

// again returns a gate that is open, to the same listener.
func (g *gate) again() *gate {
	return newGate(g.rotation, g.Listener, g.name, g.secure)
}

// isClosed reports whether it was closed, by stop or by a server that stops.
func (g *gate) isClosed() bool {
	select {
	case <-g.closed:
		return true
	default:
		return false
	}
}

// carries reports whether the connections can be carried.
func (g *gate) carries() bool { return g.name != "" && !g.secure }

// pausable reports whether the listener need not be closed.
func (g *gate) pausable() bool {
	_, ok := g.Listener.(deadliner)
	return ok && g.name != ""
}

type deadliner interface{ SetDeadline(time.Time) error }

// open undoes what Close did to the listener. It comes after the Close of the gate
// before.
func (g *gate) open() {
	if ln, ok := g.Listener.(deadliner); ok {
		ln.SetDeadline(time.Time{})
	}
}

// stop stops accepting, and closes the listener if final.
func (g *gate) stop(final bool) {
	g.stopped.Store(true)
	g.Close()
	if final {
		g.Listener.Close()
	}
}

// Accept waits for the next connection; after Close its error is net.ErrClosed.
func (g *gate) Accept() (net.Conn, error) {
	for {
		returns := g.rotation.Returns()
		c, err := g.Listener.Accept()
		if err == nil {
			return c, nil
		}
		if g.isClosed() {
			return nil, fmt.Errorf("accept %v: %w", g.Addr(), net.ErrClosed)
		}
		back := g.rotation.Returning()
		switch {
		case !errors.Is(err, syscall.EINVAL):
			return nil, err
		case back == nil && g.rotation.Returns() == returns:
			return nil, err // it is not because of the rotation
		case back != nil:
			select {
			case <-back:
			case <-g.closed:
			}
		}
	}
}

// Close has Accept return, and closes the listener where there is no other way.
func (g *gate) Close() error {
	g.once.Do(func() {
		close(g.closed)
		ln, ok := g.Listener.(deadliner)
		if !ok || ln.SetDeadline(past) != nil {
			g.Listener.Close()
		}
	})
	return nil
}
