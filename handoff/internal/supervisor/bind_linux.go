package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// bind makes the socket. A Unix socket that nobody listens on is replaced.
func (a Address) bind() (*os.File, error) {
	f, err := a.open()
	if errors.Is(err, syscall.EADDRINUSE) && a.stale() && os.Remove(a.Address) == nil {
		f, err = a.open()
	}
	return f, err
}

func (a Address) open() (*os.File, error) {
	var sock io.Closer
	var err error
	network := a.Network
	if strings.HasPrefix(a.Address, "0.0.0.0:") {
		network += "4" // without it package net takes IPv6, too
	}
	switch a.Network {
	case "udp", "unixgram":
		sock, err = net.ListenPacket(network, a.Address)
	default:
		// Plain TCP, as a socket unit has it: drain needs a filter, and multipath
		// sockets take none.
		var c net.ListenConfig
		c.SetMultipathTCP(false)
		sock, err = c.Listen(context.Background(), network, a.Address)
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

// stale reports whether the address is a socket's path at which nobody answers.
func (a Address) stale() bool {
	if a.Network != "unix" || strings.HasPrefix(a.Address, "@") {
		return false
	}
	info, err := os.Lstat(a.Address)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := net.DialTimeout(a.Network, a.Address, time.Second)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
