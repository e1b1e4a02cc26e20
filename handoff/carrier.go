package handoff

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
)

// A ConnFunc serves one connection to its end, in a goroutine of its own. One
// function serves fresh connections, for which state is nil or what Carrier.Go
// was given, and those of the generation before, for which state is what its
// ConnFunc returned. It can be tested with net.Pipe.
//
// When ctx ends with the cause ErrDraining it returns ErrCarry with what the
// successor needs to go on: all that it has read from c and not dealt with, and
// all that it has not yet written. At that moment a Read that waits is woken with
// os.ErrDeadlineExceeded, and a quarter of a second later so is a Write, with the
// number of bytes that it has written; no byte is lost by that. Where the cause is
// ErrNoSuccessor, too, there is as much time to say goodbye.
//
// state is the function's to keep and change, and not nil for a carried connection.
// Whatever it returns, c is closed, and with ErrCarry it goes on elsewhere.
// ErrRefused says that it could not go on, which is counted, and reported for the
// first one. Any other error says that the connection is over. A connection that
// was carried is a *net.TCPConn or *net.UnixConn, with its socket options as they
// were and without deadlines; others are what Accept returned or Carrier.Go was
// given.
type ConnFunc func(ctx context.Context, c net.Conn, state []byte) (carry []byte, err error)

// writeGrace is for how long after the drain began a Write may wait.
const writeGrace = 250 * time.Millisecond

// Carry has the connections of a kind served by one function, in this generation
// and in the next, where the Carrier of the same name goes on with them.
func (s *Service) Carry(name string, serve ConnFunc) (*Carrier, error) {
	k := &Carrier{s: s, name: name, serve: serve, live: make(map[*carried]struct{}), count: make(map[*epoch]int), ended: make(map[*epoch]bool)}
	k.idle.L = &k.mu
	if s.o.MaxConns > 0 {
		k.slots = make(chan struct{}, s.o.MaxConns)
	}
	err := s.change(func() error {
		if err := checkName("carrier", name); err != nil {
			return err
		}
		if serve == nil {
			return errors.New("it has no function")
		}
		if s.carriers[name] != nil {
			return ErrDuplicate
		}
		s.carriers[name] = k
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("handoff: carrier %q: %w", name, err)
	}
	return k, nil
}

// A Carrier serves connections by a ConnFunc, and carries them on.
type Carrier struct {
	s     *Service
	name  string
	serve ConnFunc
	slots chan struct{} // holds a token for each connection; nil: no limit

	mu    sync.Mutex
	idle  sync.Cond // nothing of an epoch is live any more
	live  map[*carried]struct{}
	count map[*epoch]int  // of what is live
	ended map[*epoch]bool // in which no more is served, and what was live was cut

	refused sync.Once // the first connection that was refused is reported
}

// A carried is a connection that a Carrier serves.
type carried struct {
	net.Conn
	e        *epoch
	slot     bool // it has one
	returned bool // its ConnFunc has
}

// Serve has the connections that ln accepts served while Run runs. It is called
// before Run.
func (k *Carrier) Serve(ln net.Listener) error {
	return k.s.change(func() error {
		e := k.s.epoch.Load()
		e.servers = append(e.servers, &carrierServer{e: e, gate: newGate(&k.s.rotation, ln, k.s.names[ln], false), k: k})
		return nil
	})
}

// Go serves c, which the Carrier owns from now on, also when Go fails. It is for
// connections that come by another way than Serve, such as those that an
// http.Handler has hijacked; state is what the ConnFunc is given, and must hold
// what the bufio.Reader of a hijacked connection has buffered. It returns at once,
// with ErrDraining when the drain is over, and with an error if there are
// Options.MaxConns already.
//
// What can be carried is a *net.TCPConn or *net.UnixConn, a connection hijacked
// from an *http.Server of the Service without TLS, and whatever else has
// SyscallConn, or NetConn that returns such a connection.
func (k *Carrier) Go(c net.Conn, state []byte) error {
	if k.slots != nil {
		select {
		case k.slots <- struct{}{}:
		default:
			c.Close()
			return fmt.Errorf("handoff: carrier %q: more than %d connections", k.name, cap(k.slots))
		}
	}
	return k.start(c, state, true)
}

// start serves c in a goroutine. slot says that the caller has taken one.
func (k *Carrier) start(c net.Conn, state []byte, slot bool) error {
	conn := &carried{Conn: c, e: k.s.epoch.Load(), slot: slot && k.slots != nil}
	k.mu.Lock()
	closed := k.ended[conn.e]
	if !closed {
		k.live[conn] = struct{}{}
		k.count[conn.e]++
	}
	k.mu.Unlock()
	if closed {
		c.Close()
		k.s.reporter.Count.Closed.Add(1)
		k.free(conn)
		return fmt.Errorf("handoff: carrier %q: %w", k.name, ErrDraining)
	}
	go k.run(conn, state)
	return nil
}

// adopt serves a connection that was carried.
func (k *Carrier) adopt(c net.Conn, r protocol.Record, slot bool) {
	if len(r.Unread) > 0 {
		c = &unreadConn{Conn: c, unread: r.Unread}
	}
	k.start(c, r.Data, slot) // if it is too late for that, it has closed c
}

// take waits for a slot.
func (k *Carrier) take(ctx context.Context) error {
	if k.slots == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	select {
	case k.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *Carrier) free(c *carried) {
	if c.slot {
		<-k.slots
	}
}

// run serves one connection to its end here.
func (k *Carrier) run(c *carried, state []byte) {
	ctx := c.e.carrying
	if socketOf(c.Conn) == nil {
		ctx = c.e.finishing
	}
	if ctx.Err() != nil {
		c.SetReadDeadline(past)
	}
	carry, err := k.serve(ctx, c.Conn, state)
	k.mu.Lock()
	c.returned = true // nobody wakes it any more
	cut := k.ended[c.e]
	k.mu.Unlock()
	if cut {
		c.Close()
	} else {
		k.finish(ctx, c, carry, err)
	}
	k.mu.Lock()
	delete(k.live, c)
	if k.count[c.e]--; k.count[c.e] == 0 {
		delete(k.count, c.e)
		k.idle.Broadcast()
	}
	k.mu.Unlock()
	k.free(c)
}

// finish carries a connection on, or closes it.
func (k *Carrier) finish(ctx context.Context, c *carried, carry []byte, err error) {
	s := k.s
	switch cause := context.Cause(ctx); {
	case errors.Is(err, ErrRefused):
		k.refused.Do(func() { s.reportf("carrier %q: connection with %v: %w", k.name, c.RemoteAddr(), err) })
		s.reporter.Count.Refused.Add(1)
		c.Close()
		return
	case !errors.Is(err, ErrCarry):
		c.Close()
		if cause != nil {
			s.reporter.Count.Finished.Add(1)
		}
		return
	case cause == nil:
		s.reportf("connection with %v: %w: carrier %q returned ErrCarry, and nothing drains", c.RemoteAddr(), ErrLost, k.name)
	case errors.Is(cause, ErrNoSuccessor):
		// It was told.
	default:
		unread, err := buffered(c.Conn)
		if err != nil {
			s.reporter.Lose(c, err)
			return
		}
		c.e.carryOrLose(protocol.KindConn, k.name, c.Conn, protocol.Record{Unread: unread, Data: carry})
		return
	}
	c.Close()
	s.reporter.Count.Closed.Add(1)
}

// maxBuffered bounds what a connection may hold back of what it has read.
const maxBuffered = 1 << 20

// buffered returns what c, where it is no bare socket, has read from the socket
// and not given to the program: a Read after the deadline returns that, and no
// more.
func buffered(c net.Conn) ([]byte, error) {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return nil, nil
	}
	var all []byte
	b := make([]byte, 4096)
	c.SetReadDeadline(past)
	for len(all) <= maxBuffered {
		n, err := c.Read(b)
		all = append(all, b[:n]...)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return all, nil
		case err != nil:
			return nil, err
		}
	}
	return nil, fmt.Errorf("%T has more than %d bytes buffered", c, maxBuffered)
}

// wake has the ConnFuncs of an epoch return, until ctx ends. It goes on waking them,
// since one may set a deadline after it was woken.
func (k *Carrier) wake(ctx context.Context, e *epoch) {
	began := time.Now()
	for pause := 20 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 100*time.Millisecond) {
		k.mu.Lock()
		for c := range k.live {
			if c.e != e || c.returned {
				continue
			}
			c.SetReadDeadline(past)
			if time.Since(began) >= writeGrace {
				c.SetWriteDeadline(past)
			}
		}
		k.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// afterCut is how long a ConnFunc whose connection was cut has to return.
const afterCut = time.Second

// end waits until nothing of an epoch is served any more, cuts what is left when ctx
// ends, and returns how much that was.
func (k *Carrier) end(ctx context.Context, e *epoch) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.await(ctx, e)
	k.ended[e] = true
	n := 0
	for c := range k.live {
		if c.e == e {
			c.Close()
			n++
		}
	}
	after, cancel := context.WithTimeout(context.Background(), afterCut)
	defer cancel()
	k.await(after, e)
	return n
}

// await waits until nothing of an epoch is live or ctx ends. The caller holds k.mu.
func (k *Carrier) await(ctx context.Context, e *epoch) {
	stop := context.AfterFunc(ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.idle.Broadcast()
	})
	defer stop()
	for k.count[e] > 0 && ctx.Err() == nil {
		k.idle.Wait()
	}
}

// A carrierServer accepts connections for a Carrier.
type carrierServer struct {
	*gate
	e    *epoch
	k    *Carrier
	done chan struct{} // closed when nothing more is accepted
}

func (a *carrierServer) count() int { return 1 }

func (a *carrierServer) pausable() (int, bool) { return 1, a.gate.pausable() }

func (a *carrierServer) again(e *epoch) server {
	return &carrierServer{gate: a.gate.again(), e: e, k: a.k}
}

func (a *carrierServer) serve(ended chan<- error) {
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		a.open()
		ended <- serveError(a.gate, a.accept())
	}()
}

func (a *carrierServer) accept() error {
	ctx := a.e.carrying
	for pause := time.Duration(0); ; {
		c, err := a.Accept()
		if err == nil {
			pause = 0
			// What was accepted as the drain began is carried on, too.
			slot := a.k.take(ctx) == nil
			if err := a.k.start(c, nil, slot); err != nil {
				return err
			}
			continue
		}
		if !passing(err) {
			return err
		}
		// As net/http does: connections that end make room.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// passing reports whether an error of Accept may pass.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// drain waits until nothing more is accepted. The connections are the Carrier's.
func (a *carrierServer) drain(ctx context.Context) error {
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	return nil
}
