// Package sockets binds sockets as a socket unit of systemd would have them, and
// compares one that is bound with an address that is wanted.
package sockets

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Listen is net.Listen but for two things. TCP is plain TCP, because multipath sockets
// take no filter, which a service needs to leave the rotation without resetting a
// client. And a Unix socket at whose path nobody listens is replaced.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	ln, err := c.Listen(ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) && removeStale(ctx, network, address) {
		return c.Listen(ctx, network, address)
	}
	return ln, err
}

// ListenPacket is net.ListenPacket, but a Unix socket at whose path nobody reads is
// replaced.
func ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var c net.ListenConfig
	conn, err := c.ListenPacket(ctx, network, address)
	if errors.Is(err, syscall.EADDRINUSE) && removeStale(ctx, network, address) {
		return c.ListenPacket(ctx, network, address)
	}
	return conn, err
}

// removeStale removes the socket at a Unix address if nobody listens on it, and
// reports whether it did.
func removeStale(ctx context.Context, network, address string) bool {
	if !strings.HasPrefix(network, "unix") || strings.HasPrefix(address, "@") {
		return false
	}
	info, err := os.Lstat(address)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, network, address)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(address) == nil
}
