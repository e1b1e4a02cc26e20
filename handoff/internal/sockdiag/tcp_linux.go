package sockdiag

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A TCP is a TCP socket.
type TCP struct {
	Local, Remote netip.AddrPort // never IPv4 mapped to IPv6
	State         State
	Inode         uint32 // as in the link /proc/PID/fd/N; 0 where no descriptor leads to it
}

// A State is one of include/net/tcp_states.h.
type State uint8

const (
	Established State = 1
	CloseWait   State = 8
	Listen      State = 10
)

// The sizes of inet_diag_req_v2 and inet_diag_msg.
const (
	tcpRequestSize = 56
	tcpMessageSize = 72
)

const anyCookie = 1<<32 - 1

// maxSockets bounds what one function returns.
const maxSockets = 1 << 16

// Connection returns the server's end of the connection from client to server. Its
// Inode is 0 while nobody has accepted it. errors.Is finds fs.ErrNotExist where
// there is no such connection, or it is not established yet.
func Connection(server, client netip.AddrPort) (TCP, error) {
	server, client = unmap(server), unmap(client)
	var found TCP
	ok := false
	err := ask(tcpRequest(server, client, ^uint32(0)), false, func(b []byte) bool {
		found, ok = parseTCP(b)
		return false
	})
	switch {
	case err != nil:
		return TCP{}, err
	case !ok:
		return TCP{}, fmt.Errorf("sockdiag: no answer for the connection from %v to %v", client, server)
	case found.State == Listen: // which the kernel answers with where there is no connection
		return TCP{}, &os.SyscallError{Syscall: "sock_diag", Err: syscall.ENOENT}
	}
	return found, nil
}

// Sockets lists the TCP sockets that are in one of the states, of one local port, or
// of all ports if it is 0. The kernel walks through all connections for that.
func Sockets(port uint16, states ...State) ([]TCP, error) {
	var mask uint32
	for _, s := range states {
		mask |= 1 << s
	}
	var list []TCP
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		request := tcpRequest(netip.AddrPortFrom(any, port), netip.AddrPortFrom(any, 0), mask)
		err := ask(request, true, func(b []byte) bool {
			if s, ok := parseTCP(b); ok {
				list = append(list, s)
			}
			return len(list) < maxSockets
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func tcpRequest(local, remote netip.AddrPort, states uint32) []byte {
	b := make([]byte, tcpRequestSize)
	b[0], b[1] = unix.AF_INET, unix.IPPROTO_TCP
	if local.Addr().Is6() {
		b[0] = unix.AF_INET6
	}
	order.PutUint32(b[4:], states)
	binary.BigEndian.PutUint16(b[8:], local.Port())
	binary.BigEndian.PutUint16(b[10:], remote.Port())
	copy(b[12:], local.Addr().AsSlice())
	copy(b[28:], remote.Addr().AsSlice())
	order.PutUint32(b[48:], anyCookie)
	order.PutUint32(b[52:], anyCookie)
	return b
}

func parseTCP(b []byte) (TCP, bool) {
	if len(b) < tcpMessageSize {
		return TCP{}, false
	}
	size := 4
	if b[0] == unix.AF_INET6 {
		size = 16
	}
	address := func(port, addr []byte) netip.AddrPort {
		a, _ := netip.AddrFromSlice(addr[:size])
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
	}
	return TCP{
		Local:  address(b[4:], b[8:]),
		Remote: address(b[6:], b[24:]),
		State:  State(b[1]),
		Inode:  order.Uint32(b[68:]),
	}, true
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
