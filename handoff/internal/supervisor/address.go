package supervisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/sockets"
)

// An Address is a socket to bind, and the name by which the program knows it.
type Address struct {
	Name    string
	Network string // tcp, udp, unix or unixgram, as package net has it
	Address string
}

// ParseAddress reads NAME=ADDRESS. The address is HOST:PORT, :PORT or PORT for TCP,
// and a path or @NAME for a Unix stream socket; udp:, tcp:, unix: or unixgram: in
// front of it says what it is.
func ParseAddress(s string) (Address, error) {
	name, address, ok := strings.Cut(s, "=")
	if !ok || address == "" {
		return Address{}, fmt.Errorf("%q: want NAME=ADDRESS", s)
	}
	if activation.CheckName(name) != nil || name == "" {
		return Address{}, fmt.Errorf("%q: the name may have at most 255 printable ASCII characters, and no colon", s)
	}
	a := Address{Name: name, Network: "tcp", Address: address}
	for _, network := range []string{"tcp", "udp", "unix", "unixgram"} {
		if rest, ok := strings.CutPrefix(address, network+":"); ok {
			a.Network, a.Address = network, rest
			return a.withColon(), nil
		}
	}
	if address[0] == '/' || address[0] == '@' {
		a.Network = "unix"
	}
	return a.withColon(), nil
}

// withColon is :PORT where a port stands alone.
func (a Address) withColon() Address {
	if !strings.HasPrefix(a.Network, "unix") && !strings.Contains(a.Address, ":") {
		a.Address = ":" + a.Address
	}
	return a
}

func (a Address) String() string { return fmt.Sprintf("%s=%s:%s", a.Name, a.Network, a.Address) }

// bind makes the socket. A Unix socket that nobody listens on is replaced.
func (a Address) bind() (*os.File, error) {
	var sock io.Closer
	var err error
	network := a.Network
	if strings.HasPrefix(a.Address, "0.0.0.0:") {
		network += "4" // without it package net takes IPv6, too
	}
	switch a.Network {
	case "udp", "unixgram":
		sock, err = sockets.ListenPacket(context.Background(), network, a.Address)
	default:
		sock, err = sockets.Listen(context.Background(), network, a.Address)
	}
	if err != nil {
		return nil, err
	}
	if u, ok := sock.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	defer sock.Close()
	filer, ok := sock.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("%T has no descriptor", sock)
	}
	return filer.File()
}
