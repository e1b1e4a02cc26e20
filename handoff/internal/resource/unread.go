package resource

import "net"

// An unreadConn is a connection of which something was read before it was
// carried.
type unreadConn struct {
	net.Conn
	unread []byte
}

func (c *unreadConn) Read(p []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(p, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// NetConn returns the socket below.
func (c *unreadConn) NetConn() net.Conn { return c.Conn }
