package activation

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// inherit does not use go-systemd's activation.Files: that knows no
// LISTEN_PIDFDID, hands out files for numbers that are not open, gives an empty
// or missing name the value LISTEN_FD_n, takes malformed variables for none, and
// leaves sockets blocking. TestPeer compares the two where they agree.
func (o Options) inherit() (*Set, error) {
	s := new(Set)
	names, err := parseEnviron(o.lookup, identity{pid: os.Getpid(), pidfdID: ownPidfdID})
	for _, key := range []string{envPID, envPIDFDID, envFDs, envNames} {
		o.unset(key)
	}
	if len(names) == 0 {
		s.err = err
		return s, err
	}
	s.remoteAddr, _ = o.lookup(envRemoteAddr)
	s.remotePort, _ = o.lookup(envRemotePort)

	first := o.FirstFD
	if first == 0 {
		first = firstFD
	}
	s.entries = make([]entry, 0, len(names))
	var missing []int
	for i, name := range names {
		fd := first + i
		claimErr := claim(fd)
		if errors.Is(claimErr, unix.EBADF) {
			missing = append(missing, fd)
			continue
		}
		s.entries = append(s.entries, entry{name: name, fd: fd})
		if claimErr != nil {
			err = errors.Join(err, fmt.Errorf("activation: inherit %q (fd %d): %w", name, fd, claimErr))
		}
	}
	if len(missing) > 0 {
		err = errors.Join(err, fmt.Errorf("activation: %d of %d inherited descriptors: %w: fd %s",
			len(missing), len(names), ErrNotOpen, ranges(missing)))
	}
	if len(s.entries) == 0 {
		s.err = err
	}
	return s, err
}

// claim sets close-on-exec on fd, and O_NONBLOCK if it is a socket. It is called
// for each descriptor of what may be thousands, so it makes the fewest calls that
// can do that.
func claim(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil
	}
	return os.NewSyscallError("set O_NONBLOCK", unix.SetNonblock(fd, true))
}

// ranges writes ascending numbers as in "4, 7-9".
func ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.Itoa(numbers[i])
		if j > i {
			part += "-" + strconv.Itoa(numbers[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// ownPidfdID returns the inode number of this process's pidfd, which LISTEN_PIDFDID
// carries and which, other than a PID, is never used again. There is none where
// pidfds are not on pidfs (kernels before 6.9), where they all have one inode, and
// none that stat can tell on 32-bit systems.
var ownPidfdID = sync.OnceValues(func() (uint64, bool) {
	if strconv.IntSize < 64 {
		return 0, false
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PID_FS_MAGIC {
		return 0, false
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, false
	}
	return st.Ino, true
})
