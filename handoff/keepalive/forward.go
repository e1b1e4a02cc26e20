package keepalive

import (
	"errors"
	"io"
	"net"
	"time"
)

// What net/http and handlers do to a conn beside reading reaches the connection
// below, until that is carried.
var (
	_ net.Conn      = (*conn)(nil)
	_ io.ReaderFrom = (*conn)(nil)
	_ io.WriterTo   = (*conn)(nil)
)

func (c *conn) Write(p []byte) (int, error) {
	if c.taken.Load() {
		return 0, errTaken
	}
	return c.Conn.Write(p)
}

// ReadFrom keeps sendfile and splice for what handlers copy to the client.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if c.taken.Load() {
		return 0, errTaken
	}
	if rf, ok := c.Conn.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}

// WriteTo keeps splice for who copies from a hijacked connection.
func (c *conn) WriteTo(w io.Writer) (int64, error) {
	c.mu.Lock()
	if !c.foreign {
		c.mu.Unlock()
		return io.Copy(w, struct{ io.Reader }{c})
	}
	held := c.held
	c.held = nil
	c.mu.Unlock()
	if len(held) > 0 {
		if n, err := w.Write(held); err != nil {
			return int64(n), err
		}
	}
	n, err := io.Copy(w, c.Conn)
	return n + int64(len(held)), err
}

// NetConn returns the connection below, for what only its own type can do.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Close closes the connection, unless it has been carried. Behind the last
// answer it closes it for writing only, once: see drop.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.taken.Load() {
		c.mu.Unlock()
		return nil
	}
	c.linger = c.answered && !c.closed
	c.closed = true
	linger := c.linger
	c.mu.Unlock()
	if linger && c.CloseWrite() == nil {
		return nil
	}
	return c.Conn.Close()
}

// maxLinger bounds drop.
const maxLinger = 500 * time.Millisecond

// drop is called when net/http is done with the connection. If the client sends
// on behind its last answer it reads that away until the client closes: were it
// left unread, the kernel would reset the connection, and the client might lose
// the answer.
func (c *conn) drop() {
	c.mu.Lock()
	linger := c.linger
	c.mu.Unlock()
	if linger {
		c.Conn.SetReadDeadline(time.Now().Add(maxLinger))
		io.Copy(io.Discard, c.Conn)
		c.Conn.Close()
	}
}

// CloseWrite is what net/http does before it closes a connection on which it
// has left something unread.
func (c *conn) CloseWrite() error {
	if c.taken.Load() {
		return nil
	}
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.taken.Load() {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// errTaken is what net/http gets from a connection that is no longer its own. It
// is a timeout, for which net/http neither answers nor logs.
var errTaken net.Error = takenError{}

type takenError struct{}

func (takenError) Error() string   { return "keepalive: connection was carried to the next server" }
func (takenError) Timeout() bool   { return true }
func (takenError) Temporary() bool { return true }
