package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"strings"
	"syscall"
	"time"
)

// A Client is a connection to a server. Its methods may be called from several
// goroutines: one call takes place after the other. When ctx ends during a call
// the client is of no more use, and neither is it after ErrGone; later calls then
// return net.ErrClosed. What the call has begun goes on.
type Client struct {
	path string
	turn chan struct{} // holds one token while a call takes place
	conn net.Conn      // replaced by Reexec alone
	r    *bufio.Reader
}

// dialPause is between two attempts where the server has a full queue.
const dialPause = 10 * time.Millisecond

// Dial connects to the server whose socket is at path. The error is ErrNoServer
// where nobody listens, and ErrPermission where the socket is not for this
// process. The caller closes the client.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, err
	}
	return &Client{path: path, turn: make(chan struct{}, 1), conn: conn, r: bufio.NewReader(conn)}, nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	if err := checkLength(path); err != nil {
		return nil, fmt.Errorf("control: dial: %w", err)
	}
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return nil, fmt.Errorf("control: %w: %w", ErrNoServer, err)
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("control: %w: %w", ErrPermission, err)
		case !errors.Is(err, syscall.EAGAIN):
			return nil, fmt.Errorf("control: %w", err)
		}
		select {
		case <-time.After(dialPause): // unix(7): a full queue is no reason to wait in connect
		case <-ctx.Done():
			return nil, fmt.Errorf("control: %w: %w", err, ctx.Err())
		}
	}
}

// Close closes the connection, and ends a call that takes place.
func (c *Client) Close() error { return c.conn.Close() }

// Reload starts a successor and returns the verdict, Done or Held. The errors are
// ErrUndone (an *UndoneError), ErrRefused, ErrStopping and ErrInvalid.
func (c *Client) Reload(ctx context.Context, r ReloadRequest) (Verdict, error) {
	return c.verdict(ctx, "Reload", r)
}

// Commit hands over to the successor that is ready and waits. The errors are
// ErrNotHeld where there is none, ErrUndone and ErrStopping.
func (c *Client) Commit(ctx context.Context) (Verdict, error) {
	return c.verdict(ctx, "Commit", nil)
}

// Abort undoes a successor before the commit. The errors are ErrNotHeld where
// there is none, and ErrStopping.
func (c *Client) Abort(ctx context.Context) (Verdict, error) {
	return c.verdict(ctx, "Abort", nil)
}

// MaxLameDuck is the longest that Drain takes.
const MaxLameDuck = time.Hour

// Drain takes the service out of a load balancer's rotation, and returns when it is
// out. lameDuck is at most MaxLameDuck. The errors are ErrRefused, ErrUndone and
// ErrStopping.
func (c *Client) Drain(ctx context.Context, lameDuck time.Duration) (Verdict, error) {
	return c.verdict(ctx, "Drain", map[string]int64{"lameDuckUSec": lameDuck.Microseconds()})
}

// Undrain brings the service back, and returns when it serves. The errors are
// ErrRefused and ErrStopping.
func (c *Client) Undrain(ctx context.Context) (Verdict, error) {
	return c.verdict(ctx, "Undrain", nil)
}

// Status returns how the service is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var in statusReply
	err := c.call(ctx, "Status", nil, &in)
	return in.Status, err
}

// Monitor yields how the service is, at once and after each change, until ctx ends
// (its error), the service does (ErrStopping, ErrGone), or the loop over it. An
// error is the last that it yields. The client is of no more use after it.
func (c *Client) Monitor(ctx context.Context) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		err := c.exchange(ctx, "Monitor", func() error {
			defer c.conn.Close() // what still comes are states
			sendErr := c.send(request{Method: Interface + ".Monitor", More: true})
			for {
				var in statusReply
				more, err := c.receive(&in)
				if err != nil {
					return errors.Join(err, sendErr)
				}
				if !yield(in.Status, nil) || !more {
					return nil
				}
			}
		})
		if err != nil {
			yield(Status{}, err)
		}
	}
}

// Reexec has the server at path replace its own program, over connections of its
// own, and returns once the new one answers. The errors are those of Dial,
// ErrUndone where the old one goes on, ErrGone where neither does, and ErrStopping.
func Reexec(ctx context.Context, path string) error {
	before, err := status(ctx, path)
	if err != nil {
		return err
	}
	c, err := Dial(ctx, path)
	if err != nil {
		return err
	}
	defer c.Close()
	// The old program ends with its connections, so its answer is a failure.
	if err := c.call(ctx, "Reexec", nil, nil); !errors.Is(err, ErrGone) {
		return err
	}
	after, err := status(ctx, path)
	if err != nil {
		return err
	}
	last, known := after.LastVerdict, before.LastVerdict
	switch {
	case last != nil && last.Action == ActionReexec && last.Err() != nil && (known == nil || last.Time.After(known.Time)):
		return fmt.Errorf("control: reexec: %w", last.Err())
	case after.Reexecs <= before.Reexecs:
		return fmt.Errorf("control: reexec: %w", &UndoneError{Reason: "handoffd went away, and what answers now does not know of it"})
	}
	return nil
}

// status asks over a connection of its own.
func status(ctx context.Context, path string) (Status, error) {
	c, err := Dial(ctx, path)
	if err != nil {
		return Status{}, err
	}
	defer c.Close()
	return c.Status(ctx)
}

func (c *Client) verdict(ctx context.Context, method string, parameters any) (Verdict, error) {
	var in verdictReply
	err := c.call(ctx, method, parameters, &in)
	return in.Verdict, err
}

// call calls a method that answers once. out may be nil.
func (c *Client) call(ctx context.Context, method string, parameters, out any) error {
	return c.exchange(ctx, method, func() error {
		sendErr := c.send(request{Method: Interface + "." + method, Parameters: parameters})
		// Also if that failed: a server that closes a connection says why before.
		if _, err := c.receive(out); err != nil {
			return errors.Join(err, sendErr)
		}
		return nil
	})
}

// exchange runs f, which uses the connection, in its turn and no longer than ctx.
func (c *Client) exchange(ctx context.Context, method string, f func() error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("control: %s: %w", strings.ToLower(method), err)
		}
	}()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// An answer that nobody waits for must not be taken for the next one's.
	stop := context.AfterFunc(ctx, func() { c.conn.Close() })
	err = f()
	if !stop() && errors.Is(err, net.ErrClosed) {
		err = ctx.Err()
	}
	return err
}

func (c *Client) send(r request) error {
	message, err := encode(r)
	if err == nil {
		_, err = c.conn.Write(message)
	}
	return err
}

// receive reads an answer into out and reports whether another follows it. An
// error of the connection closes it.
func (c *Client) receive(out any) (more bool, err error) {
	message, err := readMessage(c.r, MaxReply)
	var r reply
	if err == nil {
		err = json.Unmarshal(message, &r)
	}
	if err == nil && r.Error == "" && out != nil {
		err = json.Unmarshal(r.Parameters, out)
	}
	switch {
	case err == nil && r.Error != "":
		return false, fromWire(r.Error, r.Parameters)
	case err == nil:
		return r.Continues, nil
	}
	c.conn.Close()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return false, fmt.Errorf("%w: %w", ErrGone, err)
	case message != nil:
		return false, fmt.Errorf("%w answer: %w", ErrInvalid, err)
	}
	return false, err
}
