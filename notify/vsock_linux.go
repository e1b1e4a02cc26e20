package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// vsockConn carries each message over a connection of its own, as sd_notify(3)
// does: on a stream its end is the message's end.
type vsockConn struct {
	addr address
	kind int // SOCK_STREAM or SOCK_SEQPACKET
}

var _ transport = vsockConn{}

// dialVsock chooses the type of socket: the one named, else the first of
// datagram, seqpacket and stream that the kernel has for vsock.
func dialVsock(a address) (transport, error) {
	kinds := []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET, unix.SOCK_STREAM}
	switch a.kind {
	case "stream":
		kinds = kinds[2:]
	case "seqpacket":
		kinds = kinds[1:2]
	}
	var failed error
	for _, kind := range kinds {
		fd, err := a.socket(kind)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		unix.Close(fd)
		if kind == unix.SOCK_DGRAM {
			a.kind = "dgram"
			if t, err := dial(a); err == nil {
				return t, nil
			}
			continue // a transport without datagrams fails only here
		}
		return vsockConn{addr: a, kind: kind}, nil
	}
	return nil, failed
}

// bindPrivileged takes a port below 1024 where this process may: a host can then
// tell the machine's manager from its users. Any other port does as well.
func bindPrivileged(fd int) {
	for port := uint32(1023); port > 0; port-- {
		err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port})
		if err != unix.EADDRINUSE {
			return
		}
	}
}

func (c vsockConn) send(ctx context.Context, wait bool, payload []byte, fds []int) error {
	if len(fds) > 0 {
		return fmt.Errorf("notify: descriptors over %q: %w", c.addr.text, errors.ErrUnsupported)
	}
	if !wait {
		return errFull // a connection takes its time
	}
	fd, err := c.addr.socket(c.kind)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	bindPrivileged(fd)
	_, sa := c.addr.sockaddr()
	err = unix.Connect(fd, sa)
	file := os.NewFile(uintptr(fd), c.addr.text)
	defer file.Close()
	if err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("notify: %w", classify(c.addr, "connect", err))
	}
	defer wakeAtEnd(ctx, file.SetWriteDeadline)()
	if err != nil {
		err = awaitConnect(file)
	}
	if err == nil {
		_, err = file.Write(payload)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("notify: send to %q: %w: %w", c.addr.text, ErrBlocked, ctx.Err())
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fmt.Errorf("notify: %w", classify(c.addr, "send to", errno))
	}
	return err
}

// awaitConnect waits for the outcome of a connect that was begun.
func awaitConnect(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var errno int
	var checkErr error
	err = raw.Write(func(fd uintptr) bool {
		// Asked anew each time: the wake-up may have come before this wait.
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(ready, 0); n == 0 || err == unix.EINTR {
			return false
		}
		errno, checkErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		return true
	})
	if err = errors.Join(err, checkErr); err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	return err
}

// Close does nothing: no connection outlives its message.
func (c vsockConn) Close() error { return nil }
