package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Receiver is the socket on which a manager hears its services. Close may be
// called at any time; of several Receive at once each gets another message.
type Receiver struct {
	addr   string
	unlink bool // Close removes the path
	file   *os.File
	raw    syscall.RawConn
	closed atomic.Bool
	turn   chan struct{} // holds one token while a Receive runs
	buf    []byte
	oob    []byte
}

// Listen makes a notification socket at path, which is absolute or "@name" for
// an abstract one, and which a service is given as NOTIFY_SOCKET. Everybody may
// write to a path (mode 0666): who reaches it is decided by its directory, and
// who is heard by the credentials of each message. A path in use by a live
// socket, or by anything else than a socket, is an error; a socket that nobody
// reads is replaced. Close removes the path.
func Listen(path string) (*Receiver, error) {
	r, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("notify: listen: %w", err)
	}
	return r, nil
}

func listen(path string) (*Receiver, error) {
	a, err := parseAddress(path)
	if err != nil {
		return nil, err
	}
	if a.vsock {
		return nil, fmt.Errorf("%q: %w: want a path or @name", path, ErrInvalid)
	}
	fd, err := a.socket(unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
	}
	r, err := newReceiver(fd, path)
	if err != nil {
		return nil, err
	}
	_, sa := a.sockaddr()
	err = unix.Bind(fd, sa)
	if err == unix.EADDRINUSE && path[0] == '/' && removeStale(a) {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%q: %w", path, os.NewSyscallError("bind", err))
	}
	if path[0] == '/' {
		r.unlink = true
		if err := os.Chmod(path, 0o666); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// removeStale removes a socket that nobody reads, and reports whether it did.
func removeStale(a address) bool {
	info, err := os.Lstat(a.text)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := dial(a)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, unix.ECONNREFUSED) && os.Remove(a.text) == nil
}

// FileReceiver goes on with a socket that another Receiver's File gave, or that
// was inherited. It duplicates f, which stays the caller's to close. Closing the
// Receiver leaves the path in place.
func FileReceiver(f *os.File) (*Receiver, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, fmt.Errorf("notify: receiver from %q: %w", f.Name(), err)
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	sa, nameErr := unix.Getsockname(fd)
	path, isUnix := sa.(*unix.SockaddrUnix)
	if err != nil || nameErr != nil || !isUnix || kind != unix.SOCK_DGRAM || path.Name == "" {
		unix.Close(fd)
		return nil, fmt.Errorf("notify: receiver from %q: %w: want a bound Unix datagram socket", f.Name(), ErrInvalid)
	}
	// The flag belongs to the description that both descriptors share.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("notify: receiver from %q: %w", f.Name(), os.NewSyscallError("fcntl", err))
	}
	r, err := newReceiver(fd, path.Name)
	if err != nil {
		return nil, fmt.Errorf("notify: receiver from %q: %w", f.Name(), err)
	}
	return r, nil
}

// duplicate gives another descriptor for what f refers to.
func duplicate(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	if ctlErr := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); ctlErr != nil {
		return -1, ctlErr
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// newReceiver owns fd, also when it fails.
func newReceiver(fd int, addr string) (*Receiver, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%q: %w", addr, os.NewSyscallError("setsockopt", err))
	}
	raise(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	r := &Receiver{
		addr: addr,
		file: os.NewFile(uintptr(fd), addr),
		turn: make(chan struct{}, 1),
		buf:  make([]byte, MaxMessage),
		oob:  make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*MaxFiles)),
	}
	var err error
	if r.raw, err = r.file.SyscallConn(); err != nil {
		r.file.Close()
		return nil, err
	}
	return r, nil
}

// Addr returns the value for a service's NOTIFY_SOCKET.
func (r *Receiver) Addr() string { return r.addr }

// File returns a duplicate of the socket, for a process that takes this one's
// place: see FileReceiver. The caller closes it.
func (r *Receiver) File() (*os.File, error) {
	fd, err := duplicate(r.file)
	if err != nil {
		return nil, fmt.Errorf("notify: duplicate %q: %w", r.addr, err)
	}
	return os.NewFile(uintptr(fd), r.addr), nil
}

// Receive waits for the next message, until ctx ends (its error is wrapped) or
// Close is called (net.ErrClosed). A message that breaks the protocol is thrown
// away with its descriptors, as systemd does: the error then satisfies errors.Is
// with ErrRefused and the reason (ErrTooLarge, ErrInvalid, ErrTruncated), and the
// next Receive goes on. Any other error is the socket's own.
func (r *Receiver) Receive(ctx context.Context) (*Notification, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("notify: receive: %w", ctx.Err())
	}
	defer wakeAtEnd(ctx, r.file.SetReadDeadline)()
	return r.next(ctx)
}

// next reads one datagram. The caller has the turn.
func (r *Receiver) next(ctx context.Context) (*Notification, error) {
	var n, oobn, flags int
	var err error
	ioErr := r.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, err = unix.Recvmsg(int(fd), r.buf, r.oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	switch {
	case errors.Is(ioErr, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("notify: receive: %w", ctx.Err())
	case ioErr != nil && r.closed.Load(): // the file's own error has no name to know it by
		return nil, fmt.Errorf("notify: receive: %w", net.ErrClosed)
	case ioErr != nil:
		return nil, fmt.Errorf("notify: receive: %w", ioErr)
	case err != nil:
		return nil, fmt.Errorf("notify: receive: %w", os.NewSyscallError("recvmsg", err))
	}
	m := new(Notification)
	if err := m.open(r.buf[:n], r.oob[:oobn], flags); err != nil {
		m.Close()
		return nil, fmt.Errorf("notify: %w: PID %d, UID %d: %w", ErrRefused, m.PID, m.UID, err)
	}
	return m, nil
}

// open takes a datagram apart. The descriptors come first, so that none is lost
// whatever the rest is.
func (n *Notification) open(payload, oob []byte, flags int) error {
	var fds []int
	controls, err := unix.ParseSocketControlMessage(oob)
	for _, c := range controls {
		switch {
		case c.Header.Level != unix.SOL_SOCKET:
		case c.Header.Type == unix.SCM_RIGHTS:
			rights, rightsErr := unix.ParseUnixRights(&c)
			fds, err = append(fds, rights...), errors.Join(err, rightsErr)
		case c.Header.Type == unix.SCM_CREDENTIALS:
			cred, credErr := unix.ParseUnixCredentials(&c)
			if err = errors.Join(err, credErr); credErr == nil {
				n.PID, n.UID, n.GID = int(cred.Pid), cred.Uid, cred.Gid
			}
		}
	}
	for _, fd := range fds {
		n.Files = append(n.Files, os.NewFile(uintptr(fd), "notify"))
	}
	switch {
	case flags&unix.MSG_CTRUNC != 0:
		return fmt.Errorf("%w: %d arrived", ErrTruncated, len(fds))
	case flags&unix.MSG_TRUNC != 0:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxMessage)
	case err != nil:
		return fmt.Errorf("control message: %w", err)
	}
	if n.Message, err = Parse(payload); err != nil {
		return err
	}
	if n.Barrier() && (len(n.Message) != 1 || len(n.Files) != 1) {
		return fmt.Errorf("%w: BARRIER=1 with %d fields and %d descriptors, must come alone with one", ErrInvalid, len(n.Message), len(n.Files))
	}
	return nil
}

// Close closes the socket and removes its path if Listen made it. It ends
// Receive.
func (r *Receiver) Close() error {
	if r.closed.Swap(true) {
		return fmt.Errorf("notify: close %q: %w", r.addr, net.ErrClosed)
	}
	err := r.file.Close()
	if r.unlink {
		if rmErr := os.Remove(r.addr); !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}
	return err
}
