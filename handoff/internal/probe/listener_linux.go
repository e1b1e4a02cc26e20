package probe

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/sockdiag"
)

// A Listener is one that can be asked.
type Listener struct {
	Name    string // as the program knows it
	Address string // for people

	network, dial string
}

// Listeners returns those of the files that are TCP or Unix listeners. It keeps none
// of the files.
func Listeners(files []activation.NamedFile) []Listener {
	var list []Listener
	for _, f := range files {
		k, err := activation.Inspect(f.File)
		if err != nil || !k.Listening {
			continue
		}
		l := Listener{Name: f.Name, network: k.Network}
		switch a := k.Addr.(type) {
		case *net.TCPAddr:
			l.Address = a.String()
			to := a.AddrPort()
			switch ip := to.Addr(); {
			case !ip.IsUnspecified():
			case ip.Is4():
				to = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port())
			default:
				to = netip.AddrPortFrom(netip.IPv6Loopback(), to.Port())
			}
			l.dial = to.String()
		case *net.UnixAddr:
			l.Address, l.dial = a.String(), a.String()
		default:
			continue
		}
		list = append(list, l)
	}
	return list
}

// A conn is a connection to a listener.
type conn struct {
	net.Conn
	inode uint32 // of this end, if it is a Unix socket
}

func (l Listener) connect(ctx context.Context) (*conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, l.network, l.dial)
	if err != nil {
		return nil, err
	}
	k := &conn{Conn: c}
	if u, ok := c.(*net.UnixConn); ok {
		var st unix.Stat_t
		if err := fd.With(u, func(n int) error { return unix.Fstat(n, &st) }); err != nil {
			c.Close()
			return nil, err
		}
		k.inode = uint32(st.Ino)
	}
	return k, nil
}

// accepted returns the inode of the server's end. It is 0 while nobody has accepted
// the connection, and closed is true once the server has accepted and closed it.
func (c *conn) accepted() (inode uint32, closed bool, err error) {
	if c.inode != 0 {
		s, err := sockdiag.UnixSocket(c.inode)
		return s.Peer, s.Peer == 0 && c.heard(), err
	}
	server, client := c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
	s, err := sockdiag.Connection(server, client)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, true, nil
	}
	return s.Inode, s.Inode == 0 && c.heard(), err
}

// heard reports whether the server has sent something, or has closed. One that has
// not accepted does neither.
func (c *conn) heard() bool {
	p := []unix.PollFd{{Events: unix.POLLIN | unix.POLLRDHUP}}
	err := fd.With(c.Conn.(syscall.Conn), func(n int) error {
		p[0].Fd = int32(n)
		_, err := unix.Poll(p, 0)
		return err
	})
	return err == nil && p[0].Revents != 0
}
