package loadtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// failurePause is how long a client of a closed loop waits after a request that
// failed. Without it a refusing server would be asked as fast as the machine
// can, which takes from it what it needs to come back.
const failurePause = 10 * time.Millisecond

// pending is what there is to read on a connection.
type pending int

const (
	nothing  pending = iota
	readable         // bytes
	closed           // its end, or an error
)

// client sends one request at a time, on one connection at a time.
type client struct {
	load  *Load
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	tls   *tls.Config // nil: plain
	tally tally
	alarm alarm
	out   writer
	in    reader
	had   bool // a connection was opened before

	conn net.Conn // nil: none is open
	raw  net.Conn // what conn is upon; the same unless it is TLS
	used bool     // a request was sent on conn

	mu      sync.Mutex // guards what is below, which the end of the context touches
	current net.Conn   // raw, to be closed
	over    bool
}

// outcome is how a request ended.
type outcome struct {
	class       Class
	err         error         // nil: OK
	took        time.Duration // from when it was due to the last byte of the answer, or the failure
	connected   bool          // a connection was opened for it
	reconnected bool          // and it is not the client's first
	reused      bool          // it was for one that had carried a request before
	received    int64         // bytes of the answer that came
	local       string        // this end of the connection, if the request failed
}

func (o outcome) stale() bool {
	return o.reused && o.received == 0 && (o.class == Reset || o.class == Cut)
}

func newClient(l *Load) *client {
	c := &client{load: l, dial: l.options.Dial, alarm: newTimerAlarm()}
	if l.options.Rate > 0 {
		c.alarm = newAlarm()
	}
	c.out.msg = l.msg
	c.in.br = bufio.NewReader(nil)
	if c.dial == nil {
		// Keep-alive probes of the kernel cost three system calls a connection
		// and find nothing that Timeout does not.
		c.dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	if l.msg.secure {
		c.tls = l.options.TLS.Clone()
		if c.tls == nil {
			c.tls = &tls.Config{}
		}
		c.tls.NextProtos = nil // HTTP/1.1 alone
		if c.tls.ServerName == "" {
			c.tls.ServerName = l.msg.serverTLS
		}
	}
	return c
}

// run sends requests until the run is over.
func (c *client) run() {
	// The end of the context closes the connection, which unblocks whatever waits on it.
	stop := context.AfterFunc(c.load.ctx, c.abort)
	defer stop()
	defer c.alarm.close()
	defer c.drop()
	for {
		seq, due, ok := c.load.next(c.alarm)
		if !ok {
			return
		}
		request, raw := c.out.request(seq)
		o := c.send(request, raw, due)
		c.count(request, due, o)
		if o.err != nil && c.load.options.Rate == 0 {
			c.alarm.wait(failurePause)
		}
	}
}

// send sends one request and takes its answer.
func (c *client) send(request Request, raw []byte, due time.Time) (o outcome) {
	deadline := due.Add(c.load.options.Timeout)
	var (
		done time.Time
		last bool // the server has ended the connection
	)
	if o.err = c.ready(deadline, &o); o.err == nil {
		// This fails if the end of the context closed it, as the exchange then does.
		_ = c.raw.SetDeadline(deadline)
		o.reused, c.used = c.used, true
		done, last, o.err = c.exchange(request, raw, deadline)
		o.received = c.in.received
	} else {
		done = time.Now()
	}
	o.took = done.Sub(due)
	o.class = classify(o.err)
	if o.err != nil && c.load.ctx.Err() != nil {
		o.class = Canceled
	}
	if o.err != nil && c.conn != nil {
		o.local = c.conn.LocalAddr().String()
	}
	if last || !c.load.options.KeepAlive {
		c.drop()
	}
	return o
}

// ready sees to it that there is a connection to send on.
func (c *client) ready(deadline time.Time, o *outcome) error {
	if !time.Now().Before(deadline) {
		return classError{TimedOut, fmt.Errorf("not sent: no client was free within %v of when it was due", c.load.options.Timeout)}
	}
	if c.conn != nil {
		switch c.peek() {
		case nothing:
			return nil
		case readable:
			o.local, o.reused = c.conn.LocalAddr().String(), true
			c.drop()
			return classError{Wrong, errors.New("not sent: the connection holds bytes that nobody asked for")}
		case closed:
			c.drop()
		}
	}
	if err := c.connect(deadline); err != nil {
		c.drop()
		return err
	}
	o.connected, o.reconnected = true, c.had && c.load.options.KeepAlive
	c.had = true
	return nil
}

// count records how request ended.
func (c *client) count(request Request, due time.Time, o outcome) {
	marks := *c.load.marks.Load()
	phase := phaseAt(marks, due)
	c.tally.record(phase, o)
	if o.class == OK || o.class == Canceled {
		return
	}
	c.tally.fail(Failure{
		Class: o.class, Time: due.Round(0), AfterNS: int64(o.took), Phase: marks[phase].name,
		ID: request.ID, Method: request.Method,
		Local: o.local, OnReused: o.reused, Received: o.received, Text: o.err.Error(),
	})
}

// connect opens the client's connection.
func (c *client) connect(deadline time.Time) error {
	ctx, cancel := context.WithDeadline(c.load.ctx, deadline)
	defer cancel()
	conn, err := c.dial(ctx, c.load.options.Network, c.load.options.Address)
	if err != nil {
		return dialError(err)
	}
	c.conn, c.raw, c.used = conn, conn, false
	c.mu.Lock()
	c.current = conn
	over := c.over
	c.mu.Unlock()
	if over {
		return context.Cause(c.load.ctx)
	}
	if c.tls != nil {
		secured := tls.Client(conn, c.tls)
		c.conn = secured
		if err := secured.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
	}
	c.in.reset(c.conn)
	return nil
}

// peek says what there is to read on the connection at this moment.
func (c *client) peek() pending {
	p := probe(c.raw)
	if p != readable || c.tls == nil {
		return p
	}
	// What came may be TLS's own, such as a session ticket, or close_notify.
	_ = c.raw.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.in.br.Peek(1)
	switch {
	case err == nil:
		return readable
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nothing
	}
	return closed
}

// drop closes the client's connection, if there is one.
func (c *client) drop() {
	if c.conn == nil {
		return
	}
	c.mu.Lock()
	c.current = nil
	c.mu.Unlock()
	_ = c.conn.Close() // TLS says goodbye, for at most 5 s
	c.conn, c.raw = nil, nil
}

// abort closes the client's connection from another goroutine.
func (c *client) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.alarm.wake()
	if c.current != nil {
		_ = c.current.Close()
	}
}
