package handoff

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
)

// A ConnFunc serves one connection to its end, in a goroutine of its own. One
// function serves fresh connections, for which state is nil or what Carrier.Go
// was given, and those of the generation before, for which state is what its
// ConnFunc returned. It can be tested with net.Pipe.
//
// When ctx ends with the cause ErrDraining it returns ErrCarry with what the
// successor needs to go on: all that it has read from c and not dealt with, and
// all that it has not yet written. At that moment a Read that waits is woken with
// os.ErrDeadlineExceeded, and a quarter of a second later so is a Write, with the
// number of bytes that it has written; no byte is lost by that. Where the cause is
// ErrNoSuccessor, too, there is as much time to say goodbye.
//
// state is the function's to keep and change, and not nil for a carried connection.
// Whatever it returns, c is closed, and with ErrCarry it goes on elsewhere.
// ErrRefused says that it could not go on, which is counted, and reported for the
// first one. Any other error says that the connection is over. A connection that
// was carried is a *net.TCPConn or *net.UnixConn, with its socket options as they
// were and without deadlines; others are what Accept returned or Carrier.Go was
// given.
type ConnFunc func(ctx context.Context, c net.Conn, state []byte) (carry []byte, err error)

// Carry has the connections of a kind served by one function, in this generation
// and in the next, where the Carrier of the same name goes on with them.
func (s *Service) Carry(name string, serve ConnFunc) (*Carrier, error) {
	k := &Carrier{s, resource.NewCarrier(&s.env, name, serve, s.o.MaxConns)}
	err := s.change(func(p *parts) error {
		if err := checkName("carrier", name); err != nil {
			return err
		}
		if serve == nil {
			return errors.New("it has no function")
		}
		if !p.resources.Route(protocol.KindConn, name, k.resource) {
			return ErrDuplicate
		}
		p.resources.Add(k.resource)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("handoff: carrier %q: %w", name, err)
	}
	return k, nil
}

// A Carrier serves connections by a ConnFunc, and carries them on.
type Carrier struct {
	s        *Service
	resource *resource.Carrier
}

// Serve has the connections that ln accepts served while Run runs. It is called
// before Run. errors.Is finds ErrRunning and ErrServed.
func (k *Carrier) Serve(ln net.Listener) error {
	return k.s.change(func(p *parts) error {
		name, err := p.serve(ln)
		if err != nil {
			return err
		}
		k.resource.Listen(ln, name)
		return nil
	})
}

// Go serves c, which the Carrier owns from now on, also when Go fails. It is for
// connections that come by another way than Serve, such as those that an
// http.Handler has hijacked; state is what the ConnFunc is given, and must hold
// what the bufio.Reader of a hijacked connection has buffered. It returns at once,
// with ErrDraining when the drain is over, and with an error if there are
// Options.MaxConns already.
//
// What can be carried is a *net.TCPConn or *net.UnixConn, a connection hijacked
// from an *http.Server of the Service without TLS, and whatever else has
// SyscallConn, or NetConn that returns such a connection.
func (k *Carrier) Go(c net.Conn, state []byte) error { return k.resource.Go(c, state) }
