package supervisor

import (
	"fmt"
	"strings"

	"github.com/holdfast-go/holdfast/activation"
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
	if !activation.ValidName(name) || name == "" {
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
