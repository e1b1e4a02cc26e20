package parcel

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// limitOf makes a LimitError of err, where it says that a limit of the process
// or of the system was reached.
func limitOf(op string, err error) error {
	switch {
	case errors.Is(err, unix.EMFILE):
		return &LimitError{Op: op, Limit: LimitFiles, Value: fileRlimit(), Count: openFiles(), Err: unix.EMFILE}
	case errors.Is(err, unix.ENFILE):
		open, limit := systemFiles()
		return &LimitError{Op: op, Limit: LimitSystem, Value: limit, Count: open, Err: unix.ENFILE}
	}
	return fmt.Errorf("%s: %w", op, err)
}

// fileLimit is the error for descriptors that the kernel withheld. It gives no
// reason: either the table is full or a security module has refused them.
func fileLimit(op string) error {
	limit, open := fileRlimit(), openFiles()
	if limit < 0 || open < 0 || open+maxDescriptors >= limit {
		return &LimitError{Op: op, Limit: LimitFiles, Value: limit, Count: open, Err: unix.EMFILE}
	}
	return fmt.Errorf("%s: the kernel withheld the others (MSG_CTRUNC), although %d of %d descriptors are open; does a security module refuse them?", op, open, limit)
}

// sendLimit makes a LimitError of an error of sendmsg(2); sent is what the
// writer has put into the queue.
func sendLimit(fd int, op string, sent Counts, err error) error {
	switch err {
	case unix.ETOOMANYREFS:
		return &LimitError{Op: op, Limit: LimitInFlight, Value: fileRlimit(), Count: sent.Descriptors, Err: err}
	case unix.EAGAIN, unix.ENOBUFS:
		size, serr := sendBuffer(fd)
		queued, qerr := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		if errors.Join(serr, qerr) != nil {
			size, queued = -1, -2
		}
		return &LimitError{Op: op, Limit: LimitBuffer, Value: int64(size), Count: int64(queued) / 2, Err: err}
	case unix.EPIPE, unix.ECONNRESET, unix.ECONNREFUSED:
		return fmt.Errorf("%s: %w", op, ErrNoReader)
	}
	return limitOf(op, err)
}

// roomFor tells whether the process may receive n descriptors more.
func roomFor(n int64) error {
	const memfd = 1 // open while its message is received
	limit, open := fileRlimit(), openFiles()
	if limit < 0 || open < 0 || open+n+memfd <= limit {
		return nil
	}
	return &LimitError{Op: fmt.Sprintf("receive %d descriptors", n), Limit: LimitFiles, Value: limit, Count: open, Err: unix.EMFILE}
}

// fileRlimit returns the soft RLIMIT_NOFILE, -1 if it cannot be known.
func fileRlimit() int64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return -1
	}
	return int64(min(limit.Cur, 1<<62))
}

// openFiles counts the open descriptors of the process, -1 if it cannot.
func openFiles() int64 {
	const dir = "/proc/self/fd"
	// Since Linux 6.2 the folder's size is the count.
	if info, err := os.Stat(dir); err == nil && info.Size() > 0 {
		return info.Size()
	}
	d, err := os.Open(dir)
	if err != nil {
		return -1
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return int64(len(names)) - 1 // without the one that reads
}

// systemFiles returns how many files are open on the system and may be.
func systemFiles() (open, limit int64) {
	b, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return -1, -1
	}
	var unused int64
	if _, err := fmt.Sscan(string(b), &open, &unused, &limit); err != nil {
		return -1, -1
	}
	return open, limit
}

// growTable makes room for more descriptors in the process's table at once. The
// kernel doubles the table whenever it is full, and each time waits until every
// thread has noticed, which takes most of the time that receiving thousands of
// descriptors takes. It only saves time: what fails here is left to fail where
// it matters.
func growTable(fd int, more int64) {
	open, limit := openFiles(), fileRlimit()
	want := min(open+more, limit-1)
	if open < 0 || want < 0 {
		return
	}
	// Where the table is large enough this costs next to nothing, and much less than
	// to ask how large it is (FDSize in proc_pid_status(5)).
	if high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, int(want)); err == nil {
		unix.Close(high)
	}
}

// raiseSendBuffer asks for a queue of size bytes and returns what it got: more
// than net.core.wmem_max needs CAP_NET_ADMIN (socket(7)).
func raiseSendBuffer(fd, size int) (int, error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size); err != nil {
			return 0, os.NewSyscallError("setsockopt SO_SNDBUF", err)
		}
	}
	return sendBuffer(fd)
}

// sendBuffer returns the size of the queue in the terms of setsockopt: the
// kernel doubles what it is asked for, to make up for its own overhead.
func sendBuffer(fd int) (int, error) {
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	return size / 2, os.NewSyscallError("getsockopt SO_SNDBUF", err)
}
