package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// queueSize is asked for as the room of either end's queue, as systemd does: with
// the kernel's default a few hundred messages with descriptors fill it.
const queueSize = 8 << 20

// conn is one connected, non-blocking datagram socket. Being connected, it can
// wait in poll(2) for the manager's queue, which an unconnected one cannot.
type conn struct {
	addr address
	file *os.File // nil while there is no connection
	raw  syscall.RawConn

	// What try sends and how it fared: fields, so that a send needs no closure
	// and thus no allocation.
	try     func(fd uintptr) bool
	wait    bool
	payload []byte
	oob     []byte
	err     error
}

var _ transport = (*conn)(nil)

// dial connects to the manager at a.
func dial(a address) (transport, error) {
	if a.vsock && a.kind != "dgram" {
		return dialVsock(a)
	}
	c := &conn{addr: a}
	c.try = c.sendmsg
	if err := c.connect(); err != nil {
		return nil, err
	}
	return c, nil
}

// sockaddr gives the address in the kernel's terms.
func (a address) sockaddr() (family int, sa unix.Sockaddr) {
	if a.vsock {
		return unix.AF_VSOCK, &unix.SockaddrVM{CID: a.cid, Port: a.port}
	}
	return unix.AF_UNIX, &unix.SockaddrUnix{Name: a.text}
}

// socket makes a non-blocking socket for the address.
func (a address) socket(kind int) (int, error) {
	family, _ := a.sockaddr()
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("%q: %w", a.text, os.NewSyscallError("socket", err))
	}
	raise(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return fd, nil
}

// raise asks for queueSize: past the system's limit where the privilege is
// there, else up to it. It is no error to get less.
func raise(fd, force, option int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, queueSize) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, queueSize)
	}
}

func (c *conn) connect() error {
	fd, err := c.addr.socket(unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	if c.addr.vsock {
		bindPrivileged(fd)
	}
	_, sa := c.addr.sockaddr()
	if err := unix.Connect(fd, sa); err != nil {
		unix.Close(fd)
		return classify(c.addr, "connect", err)
	}
	c.file = os.NewFile(uintptr(fd), c.addr.text)
	c.raw, err = c.file.SyscallConn()
	if err != nil {
		return errors.Join(fmt.Errorf("%q: %w", c.addr.text, err), c.Close())
	}
	return nil
}

// send passes one datagram. The manager may have made its socket anew since the
// last one, and then it goes over a new connection.
func (c *conn) send(ctx context.Context, wait bool, payload []byte, fds []int) error {
	if len(fds) > 0 && c.addr.vsock {
		return fmt.Errorf("notify: descriptors over %q: %w", c.addr.text, errors.ErrUnsupported)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if c.file != nil {
		err := c.attempt(ctx, wait, payload, oob)
		if !errors.Is(err, ErrGone) {
			return err
		}
		_ = c.Close() // it leads nowhere any more
	}
	if err := c.connect(); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return c.attempt(ctx, wait, payload, oob)
}

func (c *conn) attempt(ctx context.Context, wait bool, payload, oob []byte) error {
	c.payload, c.oob, c.wait = payload, oob, wait
	if wait {
		defer wakeAtEnd(ctx, c.file.SetWriteDeadline)()
	}
	if err := c.raw.Write(c.try); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("notify: send to %q: %w: %w", c.addr.text, ErrBlocked, ctx.Err())
		}
		return fmt.Errorf("notify: send to %q: %w", c.addr.text, err)
	}
	switch c.err {
	case nil:
		return nil
	case unix.EAGAIN:
		return errFull
	}
	return fmt.Errorf("notify: %w", classify(c.addr, "send to", c.err))
}

// sendmsg makes one attempt, and reports whether it was the last.
func (c *conn) sendmsg(fd uintptr) bool {
	for {
		_, c.err = unix.SendmsgN(int(fd), c.payload, c.oob, nil, unix.MSG_NOSIGNAL)
		if c.err != unix.EINTR {
			return c.err != unix.EAGAIN || !c.wait
		}
	}
}

// Close closes the socket; send opens it again.
func (c *conn) Close() error {
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file, c.raw = nil, nil
	return err
}

// classify names the condition that an errno stands for.
func classify(a address, op string, err error) error {
	switch err {
	case unix.ECONNREFUSED, unix.ENOTCONN, unix.ENOENT, unix.EPIPE, unix.ECONNRESET, unix.ENODEV, unix.ENETUNREACH, unix.EHOSTUNREACH:
		return fmt.Errorf("%s %q: %w: %w", op, a.text, ErrGone, err)
	case unix.EMSGSIZE:
		return fmt.Errorf("%s %q: %w: %w", op, a.text, ErrTooLarge, err)
	case unix.EPROTOTYPE:
		return fmt.Errorf("%s %q: %w: it is no datagram socket: %w", op, a.text, ErrInvalid, err)
	}
	return fmt.Errorf("%s %q: %w", op, a.text, err)
}

// monotonic reads CLOCK_MONOTONIC in microseconds.
func monotonic() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return ts.Nano() / int64(time.Microsecond), nil
}
