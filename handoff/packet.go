package handoff

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/sockets"
)

// ListenPacket returns the datagram socket called name, found or bound as Listen
// does; it may have the name of a listener.
//
// One generation at a time reads from it. ReadFrom waits until Owned, and once
// this generation drains it returns an error that satisfies errors.Is with
// ErrDraining and net.ErrClosed. A datagram that it returned is this generation's;
// what waits in the kernel is the next one's. WriteTo works until Run returns.
// Read in a function that was given to Go, since the saving of states waits for
// those, and they are called again where this generation resumes:
//
//	svc.Go(func(ctx context.Context) error {
//		buf := make([]byte, 64<<10)
//		for {
//			n, from, err := conn.ReadFrom(buf)
//			if errors.Is(err, handoff.ErrDraining) {
//				return nil
//			}
//			if err != nil {
//				return err
//			}
//			count(buf[:n], from)
//		}
//	})
//
// The connection has SyscallConn, SetReadBuffer and SetWriteBuffer. What reads
// past ReadFrom must mind Owned and the drain by itself.
func (s *Service) ListenPacket(name, network, address string) (net.PacketConn, error) {
	var p *packetConn
	err := s.change(func() error {
		if s.packets[name] != nil {
			return ErrDuplicate
		}
		sock, err := obtain(s, packetConns, name, network, address)
		if err != nil {
			return err
		}
		p = newPacketConn(name, sock, s.owned)
		s.packets[name] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("handoff: packet socket %q: %w", name, err)
	}
	return p, nil
}

var packetConns = socketKind[net.PacketConn]{
	prefix:    protocol.PacketPrefix,
	inherited: (*activation.Set).PacketConn,
	stored:    (*activation.Set).PacketConns,
	bind:      sockets.ListenPacket,
	addr:      net.PacketConn.LocalAddr,
}

// A packetConn is read by one generation at a time.
type packetConn struct {
	net.PacketConn
	name  string
	owned <-chan struct{}

	mu       sync.Mutex
	deadline time.Time     // for reading, as the program set it
	changed  chan struct{} // closed when the deadline changes
	ended    chan struct{} // closed when reading ends
	draining bool
	closed   bool
}

var _ net.PacketConn = (*packetConn)(nil)

func newPacketConn(name string, c net.PacketConn, owned <-chan struct{}) *packetConn {
	return &packetConn{
		PacketConn: c,
		name:       name,
		owned:      owned,
		changed:    make(chan struct{}),
		ended:      make(chan struct{}),
	}
}

// past is a deadline that wakes whoever waits.
var past = time.Unix(1, 0)

// drain ends reading.
func (p *packetConn) drain() { p.end(func() { p.draining = true }) }

// resume begins it anew.
func (p *packetConn) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.draining || p.closed {
		return
	}
	p.draining = false
	p.ended = make(chan struct{})
	p.PacketConn.SetReadDeadline(p.deadline)
}

// end ends reading after why has said why.
func (p *packetConn) end(why func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	why()
	select {
	case <-p.ended:
	default:
		close(p.ended)
	}
	p.PacketConn.SetReadDeadline(past)
}

// Close closes the socket here; the manager and other generations may have it.
func (p *packetConn) Close() error {
	p.end(func() { p.closed = true })
	return p.PacketConn.Close()
}

// ReadFrom reads the next datagram, see Service.ListenPacket.
func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	if err := p.await(); err != nil {
		return 0, nil, err
	}
	n, from, err := p.PacketConn.ReadFrom(b)
	if err != nil {
		if why := p.why(); why != nil {
			return 0, nil, why
		}
	}
	return n, from, err
}

// why returns why nothing more is read, if so.
func (p *packetConn) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.draining:
		return p.fail(fmt.Errorf("%w: %w", ErrDraining, net.ErrClosed))
	case p.closed:
		return p.fail(net.ErrClosed)
	}
	return nil
}

func (p *packetConn) fail(err error) error {
	return fmt.Errorf("handoff: read from packet socket %q: %w", p.name, err)
}

// await waits until this generation may read.
func (p *packetConn) await() error {
	for {
		p.mu.Lock()
		deadline, changed, ended := p.deadline, p.changed, p.ended
		p.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-ended:
			return p.why()
		default:
		}
		select {
		case <-p.owned:
			return nil
		default:
		}
		select {
		case <-p.owned:
		case <-ended:
		case <-changed:
		case <-expired:
			return p.fail(os.ErrDeadlineExceeded)
		}
	}
}

// SetDeadline sets both deadlines.
func (p *packetConn) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline for ReadFrom, its wait included.
func (p *packetConn) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	close(p.changed)
	p.changed = make(chan struct{})
	select {
	case <-p.ended:
		return nil // reading has ended, and stays so
	default:
	}
	return p.PacketConn.SetReadDeadline(t)
}

// SyscallConn gives access to the socket.
func (p *packetConn) SyscallConn() (syscall.RawConn, error) {
	sc, ok := p.PacketConn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return sc.SyscallConn()
}

// SetReadBuffer sets the size of the kernel's queue (SO_RCVBUF).
func (p *packetConn) SetReadBuffer(bytes int) error {
	c, ok := p.PacketConn.(interface{ SetReadBuffer(int) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return c.SetReadBuffer(bytes)
}

// SetWriteBuffer sets the size of the kernel's queue (SO_SNDBUF).
func (p *packetConn) SetWriteBuffer(bytes int) error {
	c, ok := p.PacketConn.(interface{ SetWriteBuffer(int) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return c.SetWriteBuffer(bytes)
}
