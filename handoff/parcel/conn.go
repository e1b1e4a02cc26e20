package parcel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Conn is a connected stream socket that came out of a parcel. It is a
// net.Conn with CloseRead, CloseWrite, ReadFrom (by sendfile(2), for a file) and
// SyscallConn, and costs much less to make than a *net.TCPConn: the kernel is not
// asked anything before its first use, which makes it known to the runtime's
// poller, and fails if it is no stream socket. Its socket options are as they
// were. One that is dropped without Close leaks its descriptor.
//
// Errors are *net.OpError as those of package net; errors.Is finds
// net.ErrClosed, os.ErrDeadlineExceeded and the kernel's errors in them.
type Conn struct {
	f atomic.Pointer[os.File] // nil before the first use

	mu     sync.Mutex
	fd     int // where f is nil
	closed bool

	addrs         sync.Once
	local, remote net.Addr
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
	_ syscall.Conn  = (*Conn)(nil)
)

// file returns the socket in the poller.
func (c *Conn) file() (*os.File, error) {
	if f := c.f.Load(); f != nil {
		return f, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.f.Load(); f != nil {
		return f, nil
	}
	if c.closed {
		return nil, net.ErrClosed
	}
	f, err := pollSocket(c.fd)
	if err != nil {
		return nil, err
	}
	c.f.Store(f)
	return f, nil
}

// Read reads as net.Conn says.
func (c *Conn) Read(b []byte) (int, error) {
	f, err := c.file()
	if err != nil {
		return 0, c.error("read", err)
	}
	n, err := f.Read(b)
	if err != nil && err != io.EOF {
		err = c.error("read", err)
	}
	return n, err
}

// Write writes as net.Conn says.
func (c *Conn) Write(b []byte) (int, error) {
	f, err := c.file()
	if err != nil {
		return 0, c.error("write", err)
	}
	n, err := f.Write(b)
	if err != nil {
		err = c.error("write", err)
	}
	return n, err
}

// ReadFrom writes what r yields until its end, and lets the kernel copy it where
// r is a regular file or an io.LimitedReader of one.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	f, err := c.file()
	if err != nil {
		return 0, c.error("readfrom", err)
	}
	n, handled, err := sendFile(f, r)
	if !handled {
		n, err = io.Copy(struct{ io.Writer }{c}, r) // hides ReadFrom
		return n, err
	}
	if err != nil {
		err = c.error("readfrom", err)
	}
	return n, err
}

// Close closes this copy of the socket; a Read or Write that waits returns.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.f.Load(); f != nil {
		if err := f.Close(); err != nil {
			return c.errorWith("close", err, nil, nil)
		}
		return nil
	}
	if c.closed {
		return c.errorWith("close", net.ErrClosed, nil, nil)
	}
	c.closed = true
	closeAll([]int{c.fd})
	return nil
}

// CloseRead shuts the reading side of the connection, for all copies.
func (c *Conn) CloseRead() error { return c.control("shutdown", shutdownRead) }

// CloseWrite shuts the writing side of the connection, for all copies: the peer
// reads the end.
func (c *Conn) CloseWrite() error { return c.control("shutdown", shutdownWrite) }

// SetDeadline sets both deadlines, as net.Conn says.
func (c *Conn) SetDeadline(t time.Time) error { return c.deadline(t, (*os.File).SetDeadline) }

// SetReadDeadline sets the deadline of Read, as net.Conn says.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.deadline(t, (*os.File).SetReadDeadline) }

// SetWriteDeadline sets the deadline of Write, as net.Conn says.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.deadline(t, (*os.File).SetWriteDeadline) }

func (c *Conn) deadline(t time.Time, set func(*os.File, time.Time) error) error {
	f, err := c.file()
	if err == nil && set(f, t) != nil {
		err = net.ErrClosed // package os does not export what it was
	}
	if err != nil {
		return c.error("set", err)
	}
	return nil
}

// SyscallConn gives access to the descriptor, as syscall.Conn says.
func (c *Conn) SyscallConn() (syscall.RawConn, error) {
	f, err := c.file()
	if err != nil {
		return nil, c.error("raw", err)
	}
	return f.SyscallConn()
}

// LocalAddr returns the address of this side.
func (c *Conn) LocalAddr() net.Addr {
	c.addrs.Do(c.lookUp)
	return c.local
}

// RemoteAddr returns the address of the peer. It is asked of the kernel at the
// first call: of a connection that had been reset before, it is empty.
func (c *Conn) RemoteAddr() net.Addr {
	c.addrs.Do(c.lookUp)
	return c.remote
}

func (c *Conn) lookUp() {
	c.local, c.remote = &net.TCPAddr{}, &net.TCPAddr{}
	c.control("getsockname", func(fd int) error {
		c.local, c.remote = addresses(fd)
		return nil
	})
}

// control calls f with the descriptor.
func (c *Conn) control(op string, f func(fd int) error) error {
	file, err := c.file()
	if err == nil {
		var rc syscall.RawConn
		if rc, err = file.SyscallConn(); err == nil {
			if cerr := rc.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
				err = net.ErrClosed // package os does not export what cerr is
			}
		}
	}
	if err != nil {
		return c.errorWith(op, err, nil, nil)
	}
	return nil
}

func (c *Conn) error(op string, err error) error {
	return c.errorWith(op, err, c.LocalAddr(), c.RemoteAddr())
}

// errorWith makes err what package net would have made of it.
func (c *Conn) errorWith(op string, err error, local, remote net.Addr) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if errors.Is(err, os.ErrClosed) {
		err = net.ErrClosed
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = os.NewSyscallError(op, errno)
	}
	network := "tcp"
	if local != nil {
		network = local.Network()
	}
	return &net.OpError{Op: op, Net: network, Source: local, Addr: remote, Err: err}
}
