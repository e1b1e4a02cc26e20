package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/varlink/go/varlink"
)

// past is a deadline that wakes whoever waits now.
var past = time.Unix(1, 0)

// A client is one connection of the server. Only its own goroutine uses it, but
// for what is said to be otherwise.
type client struct {
	conn    net.Conn
	r       *bufio.Reader
	broken  bool // a write has failed
	timeout time.Duration

	idle time.Time // since when it asks nothing; zero: it does; of the server's mu

	mu    sync.Mutex
	ended bool // reads wait no more, and writes not for long

	// For Freeze; of mu as well.
	doing   activity
	writing bool
	told    bool          // the call has its last answer
	final   bool          // it asks for what no other server can go on with
	call    *Call         // the last one, or the next
	message []byte        // of the call that is being answered
	frozen  chan struct{} // closed by thaw; nil: it is not frozen
	carried bool          // nothing must be written
	changed chan struct{} // closed when one of these has
}

// An activity is what a client's goroutine does.
type activity int

const (
	waiting   activity = iota // for a message to begin
	reading                   // the message
	answering                 // it
	parked                    // nothing, until it is thawed
)

var _ varlink.ReadWriterContext = (*client)(nil)

func newClient(conn net.Conn, timeout time.Duration) *client {
	return &client{conn: conn, r: bufio.NewReader(conn), timeout: timeout, call: new(Call), changed: make(chan struct{})}
}

// lastTimeout bounds writes after the end: a client that takes nothing must not
// hold it up.
const lastTimeout = time.Second

// wake ends all reads for good, and soon a write. It may be called from everywhere.
func (c *client) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	_ = c.conn.SetReadDeadline(past)
	c.setWriteDeadline()
}

// setWriteDeadline bounds a write that begins, or goes on, now. The caller holds mu.
func (c *client) setWriteDeadline() {
	timeout := c.timeout
	if c.ended {
		timeout = min(timeout, lastTimeout)
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(timeout)) // fails as the write will
}

// setReadDeadline sets the deadline unless reads have ended.
func (c *client) setReadDeadline(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setReadDeadlineLocked(t)
}

func (c *client) setReadDeadlineLocked(t time.Time) {
	if !c.ended {
		_ = c.conn.SetReadDeadline(t) // fails as the read will
	}
}

// read reads a message, for which there is a bound in bytes and in time.
func (c *client) read() ([]byte, error) {
	c.do(reading, time.Now().Add(c.timeout))
	defer c.setReadDeadline(time.Time{})
	return readMessage(c.r, MaxRequest)
}

// Write writes an answer. A client that does not take it in time is given up.
func (c *client) Write(_ context.Context, answer []byte) (int, error) {
	c.beginWrite()
	n, err := c.conn.Write(answer)
	c.endWrite(answer)
	c.broken = c.broken || err != nil
	return n, err
}

// Read and ReadBytes are for connections that a method takes over, and none does.
func (c *client) Read(context.Context, []byte) (int, error) { return 0, errors.ErrUnsupported }

func (c *client) ReadBytes(context.Context, byte) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// refuse answers with an error, whatever was asked. The connection is to end.
func (c *client) refuse(ctx context.Context, err error) {
	name, p := toWire(err)
	if message, err := encode(errorReply{name, p}); err == nil {
		_, _ = c.Write(ctx, message)
	}
}

// onHangUp calls f if the client closes its end before release is called, which
// waits until f will not be called any more. Reads must not take place meanwhile.
func (c *client) onHangUp(f func()) (release func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if awaitHangUp(c.conn) == nil {
			f()
		}
	}()
	return func() {
		c.setReadDeadline(past)
		<-done
		c.setReadDeadline(time.Time{})
	}
}

// unreadable reports whether err is that of a message which is no call.
func unreadable(err error) bool {
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return true
	}
	_, ok := errors.AsType[*json.UnmarshalTypeError](err)
	return ok
}
