package rotation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// A Membership is where one service stands in a balancer's rotation. The zero value is
// in it. Any goroutine may call its methods.
type Membership struct {
	changing sync.Mutex     // held by those who change it
	tcp      []syscall.Conn // the listeners to which it applies; set before it changes

	mu      sync.Mutex
	left    bool          // it has left, or is about to
	sockets []*os.File    // duplicates of the listeners, to bring them back with
	back    chan struct{} // closed when it is back; nil: it is
	ended   bool          // it cannot leave any more
	returns atomic.Uint64 // how often the listeners came back
}

// Add notes a listener, which must come before anything else. A process that was
// killed may have left it shut to new clients: where the service is alone with it,
// Add opens it, and otherwise the manager sees to that.
func (m *Membership) Add(ln net.Listener, alone bool) error {
	c, ok := ln.(syscall.Conn)
	if !ok || !Applies(c) {
		return nil
	}
	m.tcp = append(m.tcp, c)
	if !alone {
		return nil
	}
	return Open(c)
}

// Left reports whether the service has left, or is about to.
func (m *Membership) Left() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left
}

// Tell is called when the manager takes the service out, or brings it back: the
// listeners are the manager's to shut.
func (m *Membership) Tell(left bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = left
}

// Leave takes the listeners out after lameDuck, where may returns nil. What was done
// is undone if ctx ends first, whose cause is then the error. It does nothing for a
// service that has left. errors.Is finds report.ErrDraining after End.
func (m *Membership) Leave(ctx context.Context, lameDuck time.Duration, may func() error) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	if err := m.begin(may); err != nil || m.back != nil {
		return err
	}
	if err := m.shut(ctx, lameDuck); err != nil {
		return errors.Join(err, m.open())
	}
	return nil
}

func (m *Membership) begin(may func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return report.ErrDraining
	}
	if err := may(); err != nil {
		return err
	}
	m.left = true
	return nil
}

// shut takes the listeners out.
func (m *Membership) shut(ctx context.Context, lameDuck time.Duration) error {
	select {
	case <-time.After(lameDuck):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var held []syscall.Conn
	for _, ln := range m.tcp {
		f, err := fd.Duplicate(ln, "listener")
		if err != nil {
			return fmt.Errorf("duplicate a listener: %w", err)
		}
		m.sockets = append(m.sockets, f)
		if err := Hold(f); err != nil {
			return err
		}
		held = append(held, f)
	}
	if err := Settled(ctx, held...); err != nil {
		return err
	}
	m.mu.Lock()
	m.back = make(chan struct{})
	m.mu.Unlock()
	for _, f := range held {
		if err := Shut(f); err != nil {
			return err
		}
	}
	return nil
}

// Rejoin brings the listeners back, and wakes those who wait to accept.
func (m *Membership) Rejoin() error {
	m.changing.Lock()
	defer m.changing.Unlock()
	return m.open()
}

func (m *Membership) open() error {
	var errs []error
	for _, f := range m.sockets {
		errs = append(errs, Open(f), f.Close())
	}
	m.sockets = nil
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = false
	if m.back != nil {
		close(m.back)
		m.back = nil
		m.returns.Add(1)
	}
	return errors.Join(errs...)
}

// End brings the listeners back for whoever comes next.
func (m *Membership) End() error {
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	return m.Rejoin()
}

// Returns says how often the service came back.
func (m *Membership) Returns() uint64 { return m.returns.Load() }

// Returning returns a channel that is closed when the service is back, nil where it has
// not left.
func (m *Membership) Returning() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.back
}
