package notifytest

import (
	"os"

	"golang.org/x/sys/unix"
)

// control calls f with the descriptor of file, if that is open.
func control(file *os.File, f func(fd int)) {
	if raw, err := file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// sameOpenFile reports whether two descriptors share one open file description.
func sameOpenFile(a, b *os.File) bool {
	const kcmpFile = 0
	same := false
	control(a, func(first int) {
		control(b, func(second int) {
			pid := uintptr(os.Getpid())
			order, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, kcmpFile, uintptr(first), uintptr(second), 0)
			same = errno == 0 && order == 0
		})
	})
	return same
}

// hungUp reports whether poll(2) finds a hangup or an error.
func hungUp(file *os.File) bool {
	gone := false
	control(file, func(fd int) {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		n, err := unix.Poll(fds, 0)
		gone = err == nil && n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone
}
