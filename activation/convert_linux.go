package activation

import (
	"fmt"
	"math"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The conversions of package net duplicate the descriptor, and ask the file for
// it by Fd. That call makes a file blocking again if package os made it
// non-blocking; Inherit has made the socket non-blocking before the file existed,
// so here it leaves the mode alone.

func (c candidate) listener() (net.Listener, error) {
	if c.kind.Shut {
		return nil, fmt.Errorf("%w: got a %v; Set.Relisten makes it listen again", ErrNotListening, c.kind)
	}
	if c.kind.Family == unix.AF_VSOCK {
		return newVsockListener(c.open(), c.kind.Addr)
	}
	l, err := net.FileListener(c.open())
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // the path is the manager's
	}
	return l, nil
}

func (c candidate) packetConn() (net.PacketConn, error) {
	return net.FilePacketConn(c.open())
}

func (c candidate) conn() (net.Conn, error) {
	if c.kind.Family == unix.AF_VSOCK {
		return newVsockConn(c.open(), c.kind.Addr, c.kind.Peer)
	}
	if c.kind.Network != "tcp" {
		return net.FileConn(c.open())
	}
	options, err := readTCPOptions(c.fd)
	if err != nil {
		return nil, err
	}
	conn, err := net.FileConn(c.open())
	if err != nil {
		return nil, err
	}
	if err := options.restore(conn.(*net.TCPConn)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// tcpOptions are the options that net.FileConn changes.
var tcpOptions = [...]struct {
	level, option int
	name          string
}{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, "TCP_NODELAY"},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, "SO_KEEPALIVE"},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, "TCP_KEEPIDLE"},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, "TCP_KEEPINTVL"},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, "TCP_KEEPCNT"},
}

type tcpValues [len(tcpOptions)]int

func readTCPOptions(fd int) (values tcpValues, err error) {
	for i, o := range tcpOptions {
		if values[i], err = unix.GetsockoptInt(fd, o.level, o.option); err != nil {
			return values, os.NewSyscallError("getsockopt "+o.name, err)
		}
	}
	return values, nil
}

func (v tcpValues) restore(c syscall.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		for i, o := range tcpOptions {
			if inner = unix.SetsockoptInt(int(fd), o.level, o.option, v[i]); inner != nil {
				inner = os.NewSyscallError("setsockopt "+o.name, inner)
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return inner
}

// duplicate returns a second file for f's descriptor. The mode of the open file
// description, which both share, stays as it is.
func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := -1
	var inner error
	if err = raw.Control(func(fd uintptr) { d, inner = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if inner != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", inner)
	}
	return os.NewFile(uintptr(d), f.Name()), nil
}

// listen makes a shut socket listen again.
func (c candidate) listen() error {
	// Linux does not clear the shutdown of a Unix listener: listen would succeed
	// and every connection would go on being refused.
	if c.kind.isUnix() && c.kind.Listening {
		return fmt.Errorf("%w: a Unix socket that was shut down stays so; restart its socket unit", ErrNotListening)
	}
	// A TCP socket whose port was chosen by the kernel has lost it by the shutdown,
	// and listen would choose another. One bound to a port of its own refuses the
	// second bind with EINVAL.
	if c.kind.isInet() {
		own, err := unix.Getsockname(c.fd)
		if err != nil {
			return os.NewSyscallError("getsockname", err)
		}
		if err := unix.Bind(c.fd, own); err != nil && err != unix.EINVAL {
			return os.NewSyscallError("bind", err)
		}
	}
	// The kernel cuts the backlog to net.core.somaxconn.
	return os.NewSyscallError("listen", unix.Listen(c.fd, math.MaxInt32))
}
