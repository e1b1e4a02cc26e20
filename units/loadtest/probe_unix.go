//go:build unix

package loadtest

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// probe says what there is to read on c at this moment, without taking it. It
// asks the kernel (MSG_PEEK) instead of reading with a deadline: Go does not
// even try a read whose deadline has passed, and one in the future would cost
// every request that time.
func probe(c net.Conn) pending {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nothing
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return closed
	}
	var n int
	var peekErr error
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		for {
			n, _, peekErr = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if peekErr != unix.EINTR {
				return true
			}
		}
	})
	switch {
	case err != nil:
		return closed
	case errors.Is(peekErr, unix.EAGAIN):
		return nothing
	case peekErr != nil || n == 0:
		return closed
	}
	return readable
}
