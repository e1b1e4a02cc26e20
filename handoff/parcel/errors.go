package parcel

import (
	"errors"
	"fmt"
)

// Conditions that a caller handles.
var (
	// ErrTruncated: the writer went away without an END record. What arrived is
	// whole, entry by entry, and was delivered.
	ErrTruncated = errors.New("the writer ended without an END record")

	// ErrTaken: the END record is there, but another reader had taken entries
	// out of the parcel before. What was left was delivered.
	ErrTaken = errors.New("entries had been taken by another reader")

	// ErrNoReader: every copy of the read end is closed.
	ErrNoReader = errors.New("every copy of the read end is closed")

	// ErrFormat: the message is not one of a parcel, or breaks its format.
	// Nothing was taken out of the socket.
	ErrFormat = errors.New("not a valid parcel message")

	// ErrVersion: the message is of a format that this version cannot read.
	// Nothing was taken out of the socket.
	ErrVersion = errors.New("unknown version of the parcel format")

	// ErrClosed: the writer, reader or item has been closed or taken.
	ErrClosed = errors.New("already closed")
)

// Names of limits in a LimitError.
const (
	// LimitFiles bounds the process's open descriptors, getrlimit(2).
	LimitFiles = "RLIMIT_NOFILE"

	// LimitInFlight bounds the descriptors that wait in all sockets of the user.
	// The count is of those that the writer has sent, received or not.
	LimitInFlight = "RLIMIT_NOFILE for descriptors in flight"

	// LimitSystem bounds the system's open files, proc_sys_fs(5).
	LimitSystem = "fs.file-max"

	// LimitBuffer bounds the bytes in a queue, as setsockopt(2) counts them. What a
	// writer asks for is cut to net.core.wmem_max, without CAP_NET_ADMIN.
	LimitBuffer = "SO_SNDBUF (net.core.wmem_max)"

	// LimitStore bounds the descriptors in the service manager's fd store. This
	// package stores nothing; the name is for callers.
	LimitStore = "$FDSTORE"
)

// A LimitError says which limit was reached. errors.Is finds the kernel's own
// error in it: syscall.EMFILE, ETOOMANYREFS, EAGAIN and so on.
type LimitError struct {
	Op    string // what was being done, such as "send 252 descriptors"
	Limit string // LimitFiles and its like
	Value int64  // the limit; -1 where it cannot be known
	Count int64  // what was counted against it, in the limit's own unit
	Err   error
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("parcel: %s: %s is %d, and there are %d: %v", e.Op, e.Limit, e.Value, e.Count, e.Err)
}

func (e *LimitError) Unwrap() error { return e.Err }
