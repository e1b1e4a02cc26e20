package backlog

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/sockdiag"
)

// A queue is that of a listener.
type queue interface {
	// length returns how many clients wait.
	length() (int, error)
	// note remembers who waits now, and reports whether anybody was found.
	note() (bool, error)
	// taken reports whether a client that was noted does not wait any more.
	taken() (bool, error)
}

// newQueue returns nil where f is no listener that can be watched. socket is a
// descriptor of f that stays open as long as the queue is in use.
func newQueue(f *os.File, socket int) (q queue, address string) {
	k, err := activation.Inspect(f)
	if err != nil || !k.Listening {
		return nil, ""
	}
	switch a := k.Addr.(type) {
	case *net.TCPAddr:
		return &tcpQueue{socket: socket, port: a.AddrPort().Port(), addr: a.AddrPort().Addr().Unmap().WithZone("")}, a.String()
	case *net.UnixAddr:
		var st unix.Stat_t
		if unix.Fstat(socket, &st) != nil {
			return nil, ""
		}
		return &unixQueue{inode: uint32(st.Ino)}, a.String()
	}
	return nil, ""
}

// maxNoted bounds whom a tcpQueue notes: net.core.somaxconn's default.
const maxNoted = 4096

type tcpQueue struct {
	socket int
	port   uint16
	addr   netip.Addr
	noted  []sockdiag.TCP
}

func (q *tcpQueue) length() (int, error) {
	info, err := unix.GetsockoptTCPInfo(q.socket, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt(TCP_INFO)", err)
	}
	return int(info.Unacked), nil // of a listener: its queue
}

func (q *tcpQueue) note() (bool, error) {
	q.noted = q.noted[:0]
	list, err := sockdiag.Sockets(q.port, sockdiag.Established, sockdiag.CloseWait)
	if err != nil {
		return false, err
	}
	for _, c := range list {
		if c.Inode == 0 && (q.addr.IsUnspecified() || q.addr == c.Local.Addr()) && len(q.noted) < maxNoted {
			q.noted = append(q.noted, c)
		}
	}
	return len(q.noted) > 0, nil
}

// taken takes a client that has gone for one that was served: a client that merely
// closes stays in the queue.
func (q *tcpQueue) taken() (bool, error) {
	for _, c := range q.noted {
		now, err := sockdiag.Connection(c.Local, c.Remote)
		if errors.Is(err, fs.ErrNotExist) || err == nil && now.Inode != 0 {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

type unixQueue struct {
	inode uint32
	head  uint32 // the inode of the client's socket; 0 where it was closed
}

func (q *unixQueue) length() (int, error) {
	s, err := sockdiag.UnixSocket(q.inode)
	return int(s.Queue), err
}

func (q *unixQueue) note() (bool, error) {
	s, err := sockdiag.UnixSocket(q.inode)
	if err != nil || len(s.Waiting) == 0 {
		return false, err
	}
	q.head = s.Waiting[0]
	return true, nil
}

// taken takes a head that was closed for the same client, which has lost patience.
func (q *unixQueue) taken() (bool, error) {
	s, err := sockdiag.UnixSocket(q.inode)
	if err != nil {
		return false, err
	}
	return len(s.Waiting) == 0 || s.Waiting[0] != 0 && s.Waiting[0] != q.head, nil
}
