package parcel

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// newNetConn makes of fd what package net makes of it, and closes fd. On an
// error fd stays as it was.
func newNetConn(fd int) (net.Conn, error) {
	f, err := standIn(fd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before := readOptions(fd)
	c, err := net.FileConn(f)
	if err != nil {
		return nil, limitOf("make a net.Conn", err)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := before.restore(tcp); err != nil {
			c.Close()
			return nil, err
		}
	}
	unix.Close(fd)
	return c, nil
}

// standIn returns an os.File of a copy of fd, for net.FileConn. os.NewFile would
// put a socket into the runtime's poller, and Close take it out again, which is a
// quarter of what an adoption costs: so the file is made of something else, whose
// place the socket then takes.
func standIn(fd int) (*os.File, error) {
	place, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, limitOf("duplicate it", err)
	}
	f := os.NewFile(uintptr(place), "socket")
	if err := unix.Dup3(fd, place, unix.O_CLOEXEC); err != nil {
		f.Close()
		return nil, limitOf("duplicate it", err)
	}
	return f, nil
}

// tcpOptions are the socket options that net.FileConn turns on, tcp(7) and
// socket(7). They belong to the socket, and travel with it: so they are read
// just before, and put back.
var tcpOptions = [...]struct{ level, name int }{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
}

// An optionSet has the values of tcpOptions, -1 for one that the socket lacks.
type optionSet [len(tcpOptions)]int

// readOptions returns the options of a TCP socket, and nothing for another.
func readOptions(fd int) optionSet {
	var set optionSet
	for i, o := range tcpOptions {
		value, err := unix.GetsockoptInt(fd, o.level, o.name)
		if err != nil {
			value = -1
			if i == 0 {
				return optionSet{-1, -1, -1, -1, -1}
			}
		}
		set[i] = value
	}
	return set
}

// restore gives c the options of before.
func (before optionSet) restore(c *net.TCPConn) error {
	now := fileConnOptions()
	if before == now {
		return nil
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	cerr := rc.Control(func(fd uintptr) { err = before.set(int(fd), now) })
	if cerr != nil {
		return cerr
	}
	return err
}

func (before optionSet) set(fd int, now optionSet) error {
	for i, o := range tcpOptions {
		if before[i] < 0 || before[i] == now[i] {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.level, o.name, before[i]); err != nil {
			return fmt.Errorf("restore option %d of level %d: %w", o.name, o.level, err)
		}
	}
	return nil
}

// fileConnOptions returns what net.FileConn makes of the options of a TCP
// socket, found out once by trying; -1 where that cannot be done.
var fileConnOptions = sync.OnceValue(func() optionSet {
	unknown := optionSet{-1, -1, -1, -1, -1}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return unknown
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return unknown
	}
	defer c.Close()
	rc, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return unknown
	}
	rc.Control(func(fd uintptr) { unknown = readOptions(int(fd)) })
	return unknown
})
