package reexec

import (
	"cmp"
	"os"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// Files are descriptors on their way to the new program. The zero value has none.
type Files struct {
	list []*os.File
	err  error // the first one
}

// Add takes f over and returns its place. Where f could not be had, err says why, and so
// does Err from then on.
func (fs *Files) Add(f *os.File, err error) fd.Ref {
	if err != nil {
		fs.err = cmp.Or(fs.err, err)
		return 0
	}
	fs.list = append(fs.list, f)
	return fd.Ref(len(fs.list))
}

// Duplicate adds a duplicate of f.
func (fs *Files) Duplicate(f *os.File) fd.Ref { return fs.Add(fd.Duplicate(f, f.Name())) }

// Err returns the first error of Add and Duplicate.
func (fs *Files) Err() error { return fs.err }

// List returns the files in the order of their places.
func (fs *Files) List() []*os.File { return fs.list }

// Close closes all.
func (fs *Files) Close() {
	fd.CloseAll(fs.list)
	fs.list = nil
}

// numbers returns the descriptors.
func (fs *Files) numbers() (list []int) {
	for _, f := range fs.list {
		fd.With(f, func(fd int) error {
			list = append(list, fd)
			return nil
		})
	}
	return list
}

// setCloseOnExec says whether files are closed by execve(2).
func setCloseOnExec(files []*os.File, closed bool) (err error) {
	flags := 0
	if closed {
		flags = unix.FD_CLOEXEC
	}
	for _, f := range files {
		e := fd.With(f, func(fd int) error {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flags)
			return os.NewSyscallError("fcntl", err)
		})
		err = cmp.Or(e, err)
	}
	return err
}
