package handoff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/sockets"
)

// Listen returns the listener called name: that of the socket unit, else the one
// that the generation before left in the fd store, else it binds address as
// net.Listen does, and Run leaves it in the store for the generations to come.
// So a service without a socket unit keeps its port, too.
//
// name is the FileDescriptorName= of the socket unit, whose address wins over
// address. A stored listener is taken where it is bound to address (any port,
// where that says port 0); otherwise it is removed, and address is bound. With an
// empty address nothing is bound: not to have inherited the listener is an
// error. A socket that is left over at the path of a Unix address, and that
// nobody listens on, is replaced.
//
// Give the listener to Serve, ServeTLS or Carrier.Serve as it is: the
// connections of one that wraps it are served, but cannot be carried. The Service
// closes it when it drains.
//
// errors.Is finds ErrRunning, ErrDuplicate, and the errors of
// activation.Set.Listener.
func (s *Service) Listen(name, network, address string) (net.Listener, error) {
	lns, err := s.addListeners(name, func(p *parts) ([]net.Listener, error) {
		ln, err := obtain(s, p, listeners, name, network, address)
		return []net.Listener{ln}, err
	})
	if err != nil {
		return nil, err
	}
	return lns[0], nil
}

// Listeners returns all listeners called name, in the order of the socket unit,
// which may have several under one name; at least one. It is as Listen with an
// empty address. To Serve they are one: connections of any of them are carried.
func (s *Service) Listeners(name string) ([]net.Listener, error) {
	return s.addListeners(name, func(*parts) ([]net.Listener, error) {
		return inherit(s.set, name, (*activation.Set).Listeners)
	})
}

// addListeners adds what get returns under name.
func (s *Service) addListeners(name string, get func(*parts) ([]net.Listener, error)) ([]net.Listener, error) {
	var lns []net.Listener
	err := s.change(func(p *parts) (err error) {
		for _, known := range p.names {
			if known == name {
				return ErrDuplicate
			}
		}
		if lns, err = get(p); err != nil {
			return err
		}
		for _, ln := range lns {
			p.names[ln] = name
			err = errors.Join(err, s.env.Rotation.Add(ln, s.intake == nil))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("handoff: listen on %q: %w", name, err)
	}
	return lns, nil
}

// A socketKind is how the Service gets hold of sockets of one type.
type socketKind[T io.Closer] struct {
	prefix    string // of the name in the store
	inherited func(*activation.Set, string) (T, error)
	stored    func(*activation.Set, string) ([]T, error)
	bind      func(ctx context.Context, network, address string) (T, error)
	addr      func(T) net.Addr
}

var listeners = socketKind[net.Listener]{
	prefix:    protocol.ListenPrefix,
	inherited: (*activation.Set).Listener,
	stored:    (*activation.Set).Listeners,
	bind:      sockets.Listen,
	addr:      net.Listener.Addr,
}

// obtain gets the socket called name: inherited, stored, or bound. The caller
// holds the lock of p.
func obtain[T io.Closer](s *Service, p *parts, k socketKind[T], name, network, address string) (T, error) {
	var none T
	if err := checkName("socket", name); err != nil {
		return none, err
	}
	sock, err := inherit(s.set, name, k.inherited)
	if err == nil || !missing(err) {
		return sock, err
	}
	if address == "" {
		return none, err
	}
	stored, err := k.stored(s.set, k.prefix+name)
	if err != nil && !missing(err) {
		return none, err
	}
	var found []T
	for _, sock := range stored {
		if len(found) == 0 && sockets.BoundTo(k.addr(sock), network, address) {
			found = append(found, sock)
			continue
		}
		p.later = append(p.later, fmt.Errorf("handoff: stored socket %q on %v: %w, want %s %s: removed",
			name, k.addr(sock), ErrUnknown, network, address))
		sock.Close()
	}
	switch {
	case len(found) == 1 && len(stored) == 1:
		p.binds = true
		s.store.Hold(1)
		return found[0], nil
	case len(stored) > 0:
		s.store.Hold(1)
		s.store.RemoveLater(k.prefix + name) // all of that name
	}
	if len(found) == 0 {
		sock, err := k.bind(s.ctx, network, address)
		if err != nil {
			return none, err
		}
		found = append(found, sock)
	}
	if sock, ok := any(found[0]).(syscall.Conn); ok && s.store.Available() {
		p.binds = true
		s.store.StoreLater(k.prefix+name, sock)
		if u, ok := any(found[0]).(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the next generation listens there
		}
	}
	return found[0], nil
}

// missing reports whether err says that there is no such thing, or that what
// there was has been taken already.
func missing(err error) bool {
	return errors.Is(err, activation.ErrNoName) || errors.Is(err, activation.ErrNotActivated)
}

// inherit takes what a socket unit has passed, and has listeners listen again
// that a process which shares them has shut.
func inherit[T any](set *activation.Set, name string, take func(*activation.Set, string) (T, error)) (T, error) {
	v, err := take(set, name)
	if errors.Is(err, activation.ErrNotListening) {
		if err = set.Relisten(name); err == nil {
			return take(set, name)
		}
	}
	return v, err
}
