package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// listen makes the socket while it holds a lock on the folder: else one of two
// servers that start at once could remove the socket of the other as stale.
func listen(path string) (*net.UnixListener, error) {
	dir, err := lock(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode that a socket has before it is bound becomes that of its path, less
	// the umask. So there is no moment in which others might connect.
	private := func(_, _ string, raw syscall.RawConn) (err error) {
		ctlErr := raw.Control(func(fd uintptr) { err = os.NewSyscallError("fchmod", unix.Fchmod(int(fd), 0o600)) })
		return errors.Join(ctlErr, err)
	}
	l, err := (&net.ListenConfig{Control: private}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

const (
	lockTimeout = 10 * time.Second // for a lock that is held for milliseconds
	lockPause   = 5 * time.Millisecond
)

// lock locks a folder until what it returns is closed.
func lock(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	raw, err := dir.SyscallConn()
	for deadline := time.Now().Add(lockTimeout); err == nil; time.Sleep(lockPause) {
		var flockErr error
		err = raw.Control(func(fd uintptr) { flockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
		switch {
		case err != nil || flockErr == unix.EINTR:
		case flockErr == nil:
			return dir, nil
		case flockErr != unix.EWOULDBLOCK || time.Now().After(deadline):
			err = fmt.Errorf("lock folder %q: %w", path, os.NewSyscallError("flock", flockErr))
		}
	}
	dir.Close()
	return nil, err
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("socket %q: %w: something else is there (%v)", path, ErrInvalid, info.Mode().Type())
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("socket %q: %w: a server listens there", path, ErrInUse)
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	}
	return fmt.Errorf("socket %q: %w, or so it seems: %w", path, ErrInUse, err)
}

func fileListener(f *os.File) (*net.UnixListener, string, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, "", err
	}
	var kind, accepting int
	var kindErr, acceptingErr, nameErr error
	var address unix.Sockaddr
	if err := raw.Control(func(fd uintptr) {
		kind, kindErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
		accepting, acceptingErr = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		address, nameErr = unix.Getsockname(int(fd))
	}); err != nil {
		return nil, "", err
	}
	bound, isUnix := address.(*unix.SockaddrUnix)
	if errors.Join(kindErr, acceptingErr, nameErr) != nil || !isUnix || kind != unix.SOCK_STREAM || accepting == 0 || checkSocketPath(bound.Name) != nil {
		return nil, "", fmt.Errorf("%w: want a listening Unix stream socket with a path", ErrInvalid)
	}
	l, err := net.FileListener(f) // duplicates, and makes it non-blocking
	if err != nil {
		return nil, "", err
	}
	return l.(*net.UnixListener), bound.Name, nil
}

// peer returns who has connected.
func peer(conn *net.UnixConn) (pid int, uid uint32, err error) {
	var cred *unix.Ucred
	err = fd.With(conn, func(fd int) (err error) {
		cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		return os.NewSyscallError("getsockopt", err)
	})
	if err != nil {
		return 0, 0, err
	}
	return int(cred.Pid), cred.Uid, nil
}

// awaitHangUp waits until the other end of conn is closed, or a read deadline
// (its error). Nothing is read, and an end that was shut down for writing alone,
// as nc -N does behind its call, is not closed.
func awaitHangUp(conn net.Conn) error {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd)}} // hang-ups and errors are told unasked
		n, err := unix.Poll(poll, 0)
		return err == nil && n > 0
	})
}
