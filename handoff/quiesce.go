package handoff

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
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
)

// Quiesce takes the service out of a load balancer's rotation, while Run goes on.
// Ready turns negative; after Options.LameDuck the TCP listeners drop new SYNs, what
// is in a handshake or in a queue is still served, and after a second or more the
// listeners refuse everyone. No client is reset after its handshake: one that comes
// between is refused when it sends its SYN again, a second later. Connections that
// stay are served on, and told to close by their next answer. The manager does not
// notice. The filter takes CAP_NET_ADMIN on some kernels (Linux 6.18.44): where the
// process does not have it, EPERM is found, and nothing was done; give it by
// AmbientCapabilities=, or turn balancers away by Options.LameDuck alone.
//
// Rejoin comes back. So does the end of Run: the drain does not carry connections
// on then, and leaves listeners that listen, since the socket is the manager's, too.
// A process that is killed while it is out leaves one that refuses; Listen of the
// next has it listen again. Do not use it while another process serves the same
// socket: that is out, too. Under handoffd use "handoffd drain".
//
// It applies to the TCP listeners from Listen and Listeners. On a Unix socket the
// clients come from this machine; it goes on accepting. When ctx ends first, what
// was done is undone. errors.Is finds ErrNotRunning, ErrDraining, the error of ctx,
// and EOPNOTSUPP for a listener with multipath TCP.
func (s *Service) Quiesce(ctx context.Context) error {
	if err := s.rotation.leave(ctx, s); err != nil {
		return fmt.Errorf("handoff: quiesce: %w", err)
	}
	return nil
}

// Rejoin brings the service back into the rotation after Quiesce, and does nothing
// where it is in it.
func (s *Service) Rejoin() error {
	if err := s.rotation.rejoin(); err != nil {
		return fmt.Errorf("handoff: rejoin: %w", err)
	}
	return nil
}

// A place is where the service stands in a balancer's rotation.
type place struct {
	changing sync.Mutex     // held by those who change it
	tcp      []syscall.Conn // the listeners to which it applies; set before Run

	mu      sync.Mutex
	away    bool          // told to leave
	sockets []*os.File    // duplicates of the listeners, to bring them back with
	back    chan struct{} // closed when it is back; nil: it is
	ended   bool          // Run is over
	returns atomic.Uint64 // how often the listeners came back
}

// out reports whether the service has left, or is about to.
func (p *place) out() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away
}

func (p *place) leave(ctx context.Context, s *Service) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	if err := p.begin(s); err != nil || p.back != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finishing := s.epoch.Load().finishing
	defer context.AfterFunc(finishing, func() { cancel(ErrDraining) })()
	err := p.shut(ctx, s.o.LameDuck)
	if err == nil {
		return nil
	}
	if finishing.Err() != nil && !errors.Is(err, ErrDraining) {
		err = fmt.Errorf("%w: %w", ErrDraining, err) // which has closed the listener
	}
	return errors.Join(err, p.open())
}

// begin makes Ready negative.
func (p *place) begin(s *Service) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended || s.leaving.Load():
		return ErrDraining
	case !s.ready.Load():
		return ErrNotRunning
	}
	p.away = true
	return nil
}

// shut takes the listeners out.
func (p *place) shut(ctx context.Context, lameDuck time.Duration) error {
	select {
	case <-time.After(lameDuck):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var held []syscall.Conn
	for _, ln := range p.tcp {
		f, err := fd.Duplicate(ln, "listener")
		if err != nil {
			return fmt.Errorf("duplicate a listener: %w", err)
		}
		p.sockets = append(p.sockets, f)
		if err := rotation.Hold(f); err != nil {
			return err
		}
		held = append(held, f)
	}
	if err := rotation.Settled(ctx, held...); err != nil {
		return err
	}
	p.mu.Lock()
	p.back = make(chan struct{})
	p.mu.Unlock()
	for _, f := range held {
		if err := rotation.Shut(f); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) rejoin() error {
	p.changing.Lock()
	defer p.changing.Unlock()
	return p.open()
}

// open brings the listeners back, and wakes those who wait to accept.
func (p *place) open() error {
	var errs []error
	for _, f := range p.sockets {
		errs = append(errs, rotation.Open(f), f.Close())
	}
	p.sockets = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
	if p.back != nil {
		close(p.back)
		p.back = nil
		p.returns.Add(1)
	}
	return errors.Join(errs...)
}

// end brings the listeners back for whoever comes next.
func (p *place) end() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	return p.rejoin()
}

// told is called when the manager takes the service out, or leaves it in: the
// listeners are its own to shut.
func (p *place) told(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// add notes a listener. A process that was killed may have left it shut to new
// clients.
func (p *place) add(ln net.Listener, alone bool) error {
	c, ok := ln.(syscall.Conn)
	if !ok || !rotation.Applies(c) {
		return nil
	}
	p.tcp = append(p.tcp, c)
	if !alone {
		return nil // the manager sees to it
	}
	return rotation.Open(c)
}

// returning returns a channel that is closed when the service is back, nil where it
// has not left.
func (p *place) returning() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.back
}
