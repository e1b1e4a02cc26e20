package fd

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Duplicate returns a file called name that shares the open file description of c.
// It is close-on-exec, and the caller closes it. errors.Is finds EMFILE where the
// process may have no more descriptors.
func Duplicate(c syscall.Conn, name string) (f *os.File, err error) {
	err = With(c, func(fd int) error {
		d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
		}
		f = os.NewFile(uintptr(d), name)
		return nil
	})
	return f, err
}

// Same reports whether a and b refer to the same open file description. It reports
// false where the kernel does not tell.
func Same(a, b syscall.Conn) bool {
	const file = 0 // KCMP_FILE of kcmp(2)
	same := false
	With(a, func(x int) error {
		return With(b, func(y int) error {
			pid := uintptr(os.Getpid())
			r, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, file, uintptr(x), uintptr(y), 0)
			same = errno == 0 && r == 0
			return nil
		})
	})
	return same
}
