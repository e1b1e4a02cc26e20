package handoff

import (
	"fmt"
	"net"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
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
	var c net.PacketConn
	err := s.change(func(p *parts) error {
		if p.taken[name] {
			return ErrDuplicate
		}
		sock, err := obtain(s, p, packetConns, name, network, address)
		if err != nil {
			return err
		}
		r := resource.NewPacket(&s.env, name, sock)
		p.resources.Add(r)
		c = r.Conn()
		p.taken[name] = true
		p.sockets = append(p.sockets, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("handoff: packet socket %q: %w", name, err)
	}
	return c, nil
}

var packetConns = socketKind[net.PacketConn]{
	prefix:    protocol.PacketPrefix,
	inherited: (*activation.Set).PacketConn,
	stored:    (*activation.Set).PacketConns,
	bind:      sockets.ListenPacket,
	addr:      net.PacketConn.LocalAddr,
}
