package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// maxSocketPath is what fits into the address of a socket, unix(7).
const maxSocketPath = 107

// A Listener is the socket of a server. Serve closes it; where Serve is not
// called, the caller does.
type Listener struct {
	path  string
	inode fs.FileInfo // what Close removes; nil: nothing
	unix  *net.UnixListener
	close func() error
}

// Listen makes a socket at path, which is absolute, with mode 0600. A socket that
// nobody listens on any more is replaced. The error is ErrInUse if somebody does,
// and ErrInvalid if there is something else than a socket, or no such path can
// be. On other systems than Linux it is errors.ErrUnsupported.
func Listen(path string) (*Listener, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, fmt.Errorf("control: listen: %w", err)
	}
	unix, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("control: listen: %w", err)
	}
	return newListener(unix, path), nil
}

func checkSocketPath(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("socket %q: %w: want an absolute path", path, ErrInvalid)
	}
	return checkLength(path)
}

func checkLength(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("socket %q: %w: %d bytes long, at most %d fit into the address of a socket", path, ErrInvalid, len(path), maxSocketPath)
	}
	return nil
}

// FileListener goes on with a socket that another Listener's File gave, or that
// was inherited, for a process that takes the place of the server. It duplicates
// f, which stays the caller's to close.
func FileListener(f *os.File) (*Listener, error) {
	unix, path, err := fileListener(f)
	if err != nil {
		return nil, fmt.Errorf("control: listener from %q: %w", f.Name(), err)
	}
	return newListener(unix, path), nil
}

func newListener(unix *net.UnixListener, path string) *Listener {
	// The package net would remove the path whosever it is by then.
	unix.SetUnlinkOnClose(false)
	l := &Listener{path: path, unix: unix}
	l.inode, _ = os.Lstat(path) // one that is gone already need not be removed
	l.close = sync.OnceValue(l.closeOnce)
	return l
}

// Path returns the path of the socket.
func (l *Listener) Path() string { return l.path }

// File returns a duplicate of the socket for FileListener. It is close-on-exec,
// and the caller closes it. Who means to hand it over must not call Close, which
// removes the path: it execs, or ends.
func (l *Listener) File() (*os.File, error) {
	f, err := fd.Duplicate(l.unix, l.path)
	if err != nil {
		return nil, fmt.Errorf("control: duplicate %q: %w", l.path, err)
	}
	return f, nil
}

// Close closes the socket and removes its path, unless that is another's by now.
// It ends Serve, and may be called again.
func (l *Listener) Close() error { return l.close() }

func (l *Listener) closeOnce() error {
	var err error
	if now, statErr := os.Lstat(l.path); statErr == nil && l.inode != nil && os.SameFile(now, l.inode) {
		err = os.Remove(l.path)
	}
	if err = errors.Join(err, l.unix.Close()); err != nil {
		return fmt.Errorf("control: close %q: %w", l.path, err)
	}
	return nil
}
