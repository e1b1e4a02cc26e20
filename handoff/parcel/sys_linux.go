package parcel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newPair makes the two ends of a parcel. The first is in the poller; the
// second is in blocking mode, since it is only passed on, maybe to a program in
// a language that expects so.
func newPair() (*endpoint, *os.File, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, limitOf("make a socket pair", err)
	}
	if err := unix.SetNonblock(p[0], true); err != nil {
		closeAll(p[:])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	other := os.NewFile(uintptr(p[1]), "parcel")
	e, err := newEndpoint(os.NewFile(uintptr(p[0]), "parcel"))
	if err != nil {
		other.Close()
		return nil, nil, err
	}
	return e, other, nil
}

// dupSocket copies fd, which must be a connected Unix SOCK_SEQPACKET socket,
// and makes it nonblocking.
func dupSocket(fd int) (*os.File, error) {
	if err := wantSeqpacket(fd); err != nil {
		return nil, err
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, limitOf("duplicate the socket", err)
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		unix.Close(dup)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(dup), "parcel"), nil
}

// adoptSocket takes fd, which must be a connected Unix SOCK_SEQPACKET socket, and
// makes it nonblocking and close-on-exec.
func adoptSocket(fd int) (*os.File, error) {
	if err := wantSeqpacket(fd); err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), SocketEnv), nil
}

func wantSeqpacket(fd int) error {
	typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return fmt.Errorf("%w: not a socket: %w", ErrFormat, err)
	}
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if domain != unix.AF_UNIX || typ != unix.SOCK_SEQPACKET {
		return fmt.Errorf("%w: a socket of family %d and type %d, want a Unix SOCK_SEQPACKET socket", ErrFormat, domain, typ)
	}
	if _, err := unix.Getpeername(fd); errors.Is(err, unix.ENOTCONN) {
		return fmt.Errorf("%w: the socket is not connected", ErrFormat)
	}
	return nil
}

func sendMessage(fd int, b []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(fd, b, oob, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// peekMessage copies the message at the peek offset into buf, and receives
// copies of its descriptors, room many at most.
func peekMessage(fd int, buf []byte, room int) (message, error) {
	// The kernel rounds nothing: a buffer of CmsgLen takes exactly room
	// descriptors, where CmsgSpace would take one more of an odd number.
	oob := make([]byte, unix.CmsgLen(4*room))
	n, oobn, flags, err := recvmsg(fd, buf, oob, unix.MSG_PEEK|unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return message{}, err
	}
	m := message{data: buf[:n], long: flags&unix.MSG_TRUNC != 0, withheld: flags&unix.MSG_CTRUNC != 0}
	m.fds, err = rightsIn(oob[:oobn])
	return m, err
}

// rightsIn returns the descriptors in control messages.
func rightsIn(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	var fds []int
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("parse control messages: %w", err)
	}
	for _, c := range controls {
		if c.Header.Level != unix.SOL_SOCKET || c.Header.Type != unix.SCM_RIGHTS {
			continue
		}
		rights, err := unix.ParseUnixRights(&c)
		if err != nil {
			return fds, fmt.Errorf("parse descriptors: %w", err)
		}
		fds = append(fds, rights...)
	}
	return fds, nil
}

// dropMessage takes the first message out of the queue with its descriptors,
// which nobody gets, and copies its beginning into b.
func dropMessage(fd int, b []byte) (int, error) {
	n, _, _, err := recvmsg(fd, b, nil, unix.MSG_DONTWAIT)
	return n, err
}

func recvmsg(fd int, b, oob []byte, flags int) (n, oobn, rflags int, err error) {
	for {
		n, oobn, rflags, _, err = unix.Recvmsg(fd, b, oob, flags)
		if err != unix.EINTR {
			return n, oobn, rflags, err
		}
	}
}

// setPeekOffset says where in the queue MSG_PEEK begins, in bytes; -1 means at
// the first message (SO_PEEK_OFF, socket(7)).
func setPeekOffset(fd, offset int) error {
	return os.NewSyscallError("setsockopt SO_PEEK_OFF", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEEK_OFF, offset))
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func wouldBlock(err error) bool      { return err == unix.EAGAIN }
func tooManyInFlight(err error) bool { return err == unix.ETOOMANYREFS }

// drained reports whether the queue is empty and the other end closed.
func drained(fd int) (bool, error) {
	if err := wantSeqpacket(fd); err != nil {
		return false, err
	}
	// The order matters: what a writer sends before it goes is seen by the
	// second look.
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(poll, 0)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return false, os.NewSyscallError("poll", err)
		}
	}
	if poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) == 0 {
		return false, nil
	}
	queued, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return false, os.NewSyscallError("ioctl SIOCINQ", err)
	}
	return queued == 0, nil
}
