package handoff

import (
	"context"
	"errors"
	"fmt"
)

// LeaveRotation takes the service out of a load balancer's rotation, while Run goes on.
// Ready turns negative; after Options.LameDuck the TCP listeners drop new SYNs, what
// is in a handshake or in a queue is still served, and after a second or more the
// listeners refuse everyone. No client is reset after its handshake: one that comes
// between is refused when it sends its SYN again, a second later. Connections that
// stay are served on, and told to close by their next answer. The manager does not
// notice. The filter takes CAP_NET_ADMIN on some kernels (Linux 6.18.44): where the
// process does not have it, EPERM is found, and nothing was done; give it by
// AmbientCapabilities=, or turn balancers away by Options.LameDuck alone.
//
// RejoinRotation comes back. So does the end of Run: the drain does not carry connections
// on then, and leaves listeners that listen, since the socket is the manager's, too.
// A process that is killed while it is out leaves one that refuses; Listen of the
// next has it listen again. Do not use it while another process serves the same
// socket: that is out, too. Under handoffd use "handoffd drain".
//
// It applies to the TCP listeners from Listen and Listeners. On a Unix socket the
// clients come from this machine; it goes on accepting. When ctx ends first, what
// was done is undone. errors.Is finds ErrNotRunning, ErrDraining, the error of ctx,
// and EOPNOTSUPP for a listener with multipath TCP.
func (s *Service) LeaveRotation(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finishing := s.period.Load().Finishing
	defer context.AfterFunc(finishing, func() { cancel(ErrDraining) })()
	err := s.env.Rotation.Leave(ctx, s.o.LameDuck, s.mayLeave)
	if err != nil && finishing.Err() != nil && !errors.Is(err, ErrDraining) {
		err = fmt.Errorf("%w: %w", ErrDraining, err) // which has closed the listener
	}
	if err != nil {
		return fmt.Errorf("handoff: leave the rotation: %w", err)
	}
	return nil
}

// mayLeave returns why the service cannot leave the rotation now, if so.
func (s *Service) mayLeave() error {
	switch {
	case s.leaving.Load():
		return ErrDraining
	case !s.ready.Load():
		return ErrNotRunning
	}
	return nil
}

// RejoinRotation brings the service back into the rotation after LeaveRotation, and does nothing
// where it is in it.
func (s *Service) RejoinRotation() error {
	if err := s.env.Rotation.Rejoin(); err != nil {
		return fmt.Errorf("handoff: rejoin the rotation: %w", err)
	}
	return nil
}
