package sockets

import (
	"net"
	"os"
	"strings"
)

// BoundTo reports whether a socket on addr is what a call to bind address would
// give.
func BoundTo(addr net.Addr, network, address string) bool {
	if addr.Network() != strings.TrimRight(network, "46") {
		return false
	}
	switch addr := addr.(type) {
	case *net.TCPAddr:
		want, err := net.ResolveTCPAddr(network, address)
		return err == nil && sameIP(network, addr.IP, want.IP) && samePort(addr.Port, want.Port) && addr.Zone == want.Zone
	case *net.UDPAddr:
		want, err := net.ResolveUDPAddr(network, address)
		return err == nil && sameIP(network, addr.IP, want.IP) && samePort(addr.Port, want.Port) && addr.Zone == want.Zone
	case *net.UnixAddr:
		if strings.HasPrefix(address, "@") {
			return addr.Name == address
		}
		_, err := os.Lstat(address) // else no client can find it
		return err == nil && addr.Name == address
	}
	return addr.String() == address
}

func samePort(have, want int) bool { return want == 0 || have == want }

// sameIP compares as package net binds: no address, and the unspecified one of
// either family, are both families' where network does not name one.
func sameIP(network string, have, want net.IP) bool {
	if want == nil || want.IsUnspecified() {
		is4 := have.To4() != nil
		return have.IsUnspecified() && (!strings.HasSuffix(network, "4") || is4) && (!strings.HasSuffix(network, "6") || !is4)
	}
	return have.Equal(want)
}
