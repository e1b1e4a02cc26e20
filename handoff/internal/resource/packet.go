package resource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// A Packet is a packet socket that one generation at a time reads. It is a Background,
// since reading ends first, and starts again when the functions that read before have
// ended.
type Packet struct{ conn *packetConn }

var _ Background = (*Packet)(nil)

// NewPacket returns the resource for c, which is called name.
func NewPacket(env *Env, name string, c net.PacketConn) *Packet {
	return &Packet{newPacketConn(name, c, env.Owned)}
}

// Conn returns the socket as the program uses it. Closing it closes the socket here; the
// manager and other generations may have it.
func (p *Packet) Conn() net.PacketConn { return p.conn }

// Start has it read again.
func (p *Packet) Start(*Period) { p.conn.resume() }

// StopAccepting does nothing: End says when reading ends.
func (p *Packet) StopAccepting(bool) {}

// End ends reading.
func (p *Packet) End(*Period) { p.conn.drain() }

// Over: nothing runs here.
func (p *Packet) Over(*Period) <-chan struct{} { return closed }

// Drain does nothing after End.
func (p *Packet) Drain(context.Context, *Period) error { return nil }

func (p *Packet) Needs() Needs { return Needs{} }

func (p *Packet) String() string { return fmt.Sprintf("packet socket %q", p.conn.name) }

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

// ReadFrom reads the next datagram, see handoff.Service.ListenPacket.
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
		return p.fail(fmt.Errorf("%w: %w", report.ErrDraining, net.ErrClosed))
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
