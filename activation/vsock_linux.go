package activation

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	_ net.Addr     = (*VsockAddr)(nil)
	_ net.Listener = (*vsockListener)(nil)
	_ syscall.Conn = (*vsockListener)(nil)
	_ net.Conn     = (*vsockConn)(nil)
	_ syscall.Conn = (*vsockConn)(nil)
)

// vsockListener is a listener on a non-blocking file: the file's poller wakes
// Accept for a connection, for a deadline, and for Close.
type vsockListener struct {
	file   *os.File
	addr   net.Addr
	closed atomic.Bool
}

// newVsockListener makes a listener of a duplicate of f, which is bound to addr.
func newVsockListener(f *os.File, addr net.Addr) (*vsockListener, error) {
	d, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	return &vsockListener{file: d, addr: addr}, nil
}

// Accept waits for a connection. Close ends the wait with net.ErrClosed.
func (l *vsockListener) Accept() (net.Conn, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, opError("accept", l.addr, nil, err)
	}
	var fd int
	var inner error
	err = raw.Read(func(listener uintptr) bool {
		for {
			fd, _, inner = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			// A connection that was reset in the queue is no reason to stop.
			if inner != unix.EINTR && inner != unix.ECONNABORTED {
				return inner != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = os.NewSyscallError("accept4", inner)
	} else if l.closed.Load() {
		err = net.ErrClosed // the raw connection of a file has an error of its own for it
	}
	if err != nil {
		return nil, opError("accept", l.addr, nil, err)
	}
	k, err := inspect(fd)
	f := os.NewFile(uintptr(fd), l.file.Name())
	if err != nil {
		f.Close()
		return nil, opError("accept", l.addr, nil, err)
	}
	return &vsockConn{file: f, local: k.Addr, peer: k.Peer}, nil
}

func (l *vsockListener) Close() error {
	l.closed.Store(true)
	return opError("close", l.addr, nil, l.file.Close())
}

func (l *vsockListener) Addr() net.Addr { return l.addr }

func (l *vsockListener) SetDeadline(t time.Time) error {
	return opError("set", l.addr, nil, l.file.SetReadDeadline(t))
}

func (l *vsockListener) SyscallConn() (syscall.RawConn, error) { return l.file.SyscallConn() }

// vsockConn is a connection on a non-blocking file.
type vsockConn struct {
	file        *os.File
	local, peer net.Addr
}

// newVsockConn makes a connection of a duplicate of f.
func newVsockConn(f *os.File, local, peer net.Addr) (*vsockConn, error) {
	d, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	return &vsockConn{file: d, local: local, peer: peer}, nil
}

func (c *vsockConn) Read(b []byte) (int, error) {
	n, err := c.file.Read(b)
	return n, c.error("read", err)
}

func (c *vsockConn) Write(b []byte) (int, error) {
	n, err := c.file.Write(b)
	return n, c.error("write", err)
}

// CloseWrite ends what is sent; the peer reads EOF. Package net/http looks for it.
func (c *vsockConn) CloseWrite() error {
	raw, err := c.file.SyscallConn()
	if err != nil {
		return c.error("close", err)
	}
	var inner error
	if err = raw.Control(func(fd uintptr) { inner = unix.Shutdown(int(fd), unix.SHUT_WR) }); err == nil {
		err = os.NewSyscallError("shutdown", inner)
	}
	return c.error("close", err)
}

func (c *vsockConn) Close() error         { return c.error("close", c.file.Close()) }
func (c *vsockConn) LocalAddr() net.Addr  { return c.local }
func (c *vsockConn) RemoteAddr() net.Addr { return c.peer }

func (c *vsockConn) SetDeadline(t time.Time) error { return c.error("set", c.file.SetDeadline(t)) }
func (c *vsockConn) SetReadDeadline(t time.Time) error {
	return c.error("set", c.file.SetReadDeadline(t))
}
func (c *vsockConn) SetWriteDeadline(t time.Time) error {
	return c.error("set", c.file.SetWriteDeadline(t))
}

func (c *vsockConn) SyscallConn() (syscall.RawConn, error) { return c.file.SyscallConn() }

func (c *vsockConn) error(op string, err error) error { return opError(op, c.local, c.peer, err) }

// opError turns an error of a file into one of package net, so that servers find
// what they look for: net.Error with Timeout, and net.ErrClosed.
func opError(op string, local, peer net.Addr, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // the path is only the descriptor's name
	}
	if errors.Is(err, os.ErrClosed) {
		err = net.ErrClosed
	}
	oe := &net.OpError{Op: op, Net: "vsock", Err: err, Addr: local}
	if peer != nil {
		oe.Source, oe.Addr = local, peer
	}
	return oe
}
