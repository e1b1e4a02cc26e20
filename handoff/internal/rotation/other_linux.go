package rotation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// HoldOf does Hold for all TCP listeners of another process, for which the caller
// needs CAP_SYS_PTRACE (pidfd_getfd(2), Linux 5.6), and returns for how many.
func HoldOf(pid int) (n int, err error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, fmt.Errorf("rotation: process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
	}
	defer unix.Close(pidfd)
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		return 0, fmt.Errorf("rotation: process %d: %w", pid, err)
	}
	var errs []error
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		taken, err := unix.PidfdGetfd(pidfd, fd, 0)
		if errors.Is(err, unix.EBADF) {
			continue // closed meanwhile
		}
		if err != nil {
			return n, fmt.Errorf("rotation: descriptor %d of process %d: %w", fd, pid, os.NewSyscallError("pidfd_getfd", err))
		}
		f := os.NewFile(uintptr(taken), "descriptor of another process")
		if listens(f) && Applies(f) {
			n++
			errs = append(errs, Hold(f))
		}
		f.Close()
	}
	return n, errors.Join(errs...)
}

func listens(f *os.File) (is bool) {
	err := fd.With(f, func(fd int) error {
		on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		is = on == 1
		return err
	})
	return err == nil && is
}
