package sockdiag

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Unix is a Unix socket.
type Unix struct {
	Name       string   // its own address, as in /proc/net/unix: with an @ where it is abstract
	Peer       uint32   // the inode of the other end; 0 where it has none, or nobody has accepted it
	File       uint32   // the inode of the file that it is bound to; 0 where it is bound to none
	Queue      uint32   // of a listener: how many clients wait
	QueueLimit uint32   // of a listener: how many may
	Waiting    []uint32 // of a listener: the inodes of the clients that wait, the first in the queue first; nil where they are too many to list
}

// Attributes and requests for them, include/uapi/linux/unix_diag.h.
const (
	unixName, showName       = 0, 1 << 0
	unixFile, showFile       = 1, 1 << 1
	unixPeer, showPeer       = 2, 1 << 2
	unixWaiting, showWaiting = 3, 1 << 3
	unixQueue, showQueue     = 4, 1 << 4
)

// The sizes of unix_diag_req and unix_diag_msg.
const (
	unixRequestSize = 24
	unixMessageSize = 16
)

// UnixSocket returns the Unix socket that has an inode. errors.Is finds
// fs.ErrNotExist where there is none.
func UnixSocket(inode uint32) (Unix, error) {
	const show = showName | showFile | showPeer | showQueue
	s, err := unixSocket(inode, show|showWaiting)
	if errors.Is(err, syscall.EMSGSIZE) { // there are about a thousand
		s, err = unixSocket(inode, show)
	}
	return s, err
}

// LeadsTo reports whether the path is that of the Unix socket with the inode: clients
// that connect to it come to this socket. A program that unlinks the path of its
// listener as it ends cuts the listener off, although every descriptor of it is as
// good as before.
func LeadsTo(path string, inode uint32) (bool, error) {
	s, err := UnixSocket(inode)
	if err != nil {
		return false, err
	}
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return uint32(st.Ino) == s.File, nil
}

func unixSocket(inode, show uint32) (s Unix, err error) {
	b := make([]byte, unixRequestSize)
	b[0] = unix.AF_UNIX
	order.PutUint32(b[4:], ^uint32(0)) // any state
	order.PutUint32(b[8:], inode)
	order.PutUint32(b[12:], show)
	order.PutUint32(b[16:], anyCookie)
	order.PutUint32(b[20:], anyCookie)
	ok := false
	err = ask(b, false, func(b []byte) bool {
		s, ok = parseUnix(b)
		return false
	})
	if err == nil && !ok {
		err = fmt.Errorf("sockdiag: no answer for the Unix socket %d", inode)
	}
	return s, err
}

func parseUnix(b []byte) (s Unix, ok bool) {
	if len(b) < unixMessageSize {
		return s, false
	}
	attributes(b[unixMessageSize:], func(kind uint16, v []byte) {
		switch {
		case kind == unixName && len(v) > 0 && v[0] == 0:
			s.Name = "@" + string(v[1:])
		case kind == unixName:
			s.Name = strings.TrimRight(string(v), "\x00")
		case kind == unixFile && len(v) >= 4:
			s.File = order.Uint32(v)
		case kind == unixPeer && len(v) >= 4:
			s.Peer = order.Uint32(v)
		case kind == unixQueue && len(v) >= 8:
			s.Queue, s.QueueLimit = order.Uint32(v), order.Uint32(v[4:])
		case kind == unixWaiting:
			for ; len(v) >= 4; v = v[4:] {
				s.Waiting = append(s.Waiting, order.Uint32(v))
			}
		}
	})
	return s, true
}
