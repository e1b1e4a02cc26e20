// Package fd works on file descriptors without a change to the mode of the open file
// description. os.File.Fd makes the description blocking for every process that has
// it, so nothing here uses that.
package fd

import (
	"errors"
	"os"
	"syscall"
)

// With calls f with the descriptor of c, which stays open until f returns. It returns
// the error of f, or says that c is closed or has no descriptor.
func With(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return errors.Join(raw.Control(func(fd uintptr) { err = f(int(fd)) }), err)
}

// CloseAll closes files.
func CloseAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
