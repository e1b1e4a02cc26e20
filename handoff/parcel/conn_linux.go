package parcel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// pollSocket puts fd, which must be a stream socket, into the poller.
func pollSocket(fd int) (*os.File, error) {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return nil, fmt.Errorf("not a socket: %w", err)
	}
	if typ != unix.SOCK_STREAM {
		return nil, fmt.Errorf("a socket of type %d, want a connected stream socket", typ)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_NONBLOCK == 0 {
		err = unix.SetNonblock(fd, true) // the poller takes no other
	}
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

func shutdownRead(fd int) error {
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_RD))
}
func shutdownWrite(fd int) error {
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR))
}

// addresses returns the addresses of both sides; the peer's is empty where the
// connection is gone.
func addresses(fd int) (local, remote net.Addr) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return &net.TCPAddr{}, &net.TCPAddr{}
	}
	local = address(sa)
	if sa, err := unix.Getpeername(fd); err == nil {
		return local, address(sa)
	}
	if _, ok := local.(*net.UnixAddr); ok {
		return local, &net.UnixAddr{Net: "unix"}
	}
	return local, &net.TCPAddr{}
}

func address(sa unix.Sockaddr) net.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		a := &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
		if sa.ZoneId != 0 {
			a.Zone = zone(int(sa.ZoneId))
		}
		return a
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return &net.TCPAddr{}
}

// zone names a zone as package net does.
func zone(id int) string {
	if ifi, err := net.InterfaceByIndex(id); err == nil {
		return ifi.Name
	}
	return fmt.Sprint(id)
}

// sendFile copies r to dst inside the kernel, where r is a regular file.
func sendFile(dst *os.File, r io.Reader) (written int64, handled bool, err error) {
	remain := int64(1<<63 - 1)
	limited, ok := r.(*io.LimitedReader)
	if ok {
		r, remain = limited.R, limited.N
	}
	src, ok := r.(*os.File)
	if !ok {
		return 0, false, nil
	}
	if info, err := src.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, false, nil
	}
	out, err := dst.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	in, err := src.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	const chunk = 4 << 20 // the kernel's own limit would let a deadline wait long
	for remain > 0 {
		n := 0
		var serr error
		err := out.Write(func(to uintptr) bool {
			if in.Control(func(from uintptr) {
				n, serr = unix.Sendfile(int(to), int(from), nil, int(min(remain, chunk)))
			}) != nil {
				serr = fmt.Errorf("%s: %w", src.Name(), os.ErrClosed)
			}
			return serr != unix.EAGAIN && serr != unix.EINTR
		})
		switch {
		case err == nil:
			err = serr
		case !errors.Is(err, os.ErrDeadlineExceeded):
			err = net.ErrClosed // package os does not export what it is
		}
		if written == 0 && (err == unix.EINVAL || err == unix.ENOSYS) {
			return 0, false, nil
		}
		if n <= 0 || err != nil {
			return written, true, err
		}
		written += int64(n)
		remain -= int64(n)
		if limited != nil {
			limited.N = remain
		}
	}
	return written, true, nil
}
