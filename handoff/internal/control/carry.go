package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// carryTimeout bounds how long an answer that is being written may take, before its
// client is left behind.
const carryTimeout = time.Second

// A Carried is a client on its way from a server to the one that takes its place in
// the same process: see Server.Freeze. All but the connection may be written down.
type Carried struct {
	Call   []byte   `json:"call,omitempty"`   // what it waits for an answer to; nil: nothing
	Rest   []byte   `json:"rest,omitempty"`   // what it has sent beyond that
	Number uint64   `json:"number,omitempty"` // by which the supervisor knows the call; 0: it does not
	Conn   *os.File `json:"-"`
}

// A Call is what a Supervisor knows of the call that it answers.
type Call struct {
	number atomic.Uint64
}

type callKey struct{}

// CallOf returns the call that a method of a Supervisor was called for, from the
// context that it was given, or nil.
func CallOf(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Number returns what Begun was given for this call by the server before; 0: it was
// not begun.
func (c *Call) Number() uint64 {
	if c == nil {
		return 0
	}
	return c.number.Load()
}

// Begun says that what the call asks for was begun. number, above 0, is given back
// by Number should another server have to go on with it.
func (c *Call) Begun(number uint64) {
	if c != nil {
		c.number.Store(number)
	}
}

// Freeze stops accepting and reading, and returns the clients, for Options.Carried
// of the server that takes the place of this one. The caller closes their
// connections. thaw takes it all back.
//
// The supervisor begins and answers no call meanwhile. pending are the numbers of
// those that it has not answered yet; answers to others get through before. Not
// among the clients are those of Reexec, Drain and Undrain, and those that do not
// take their answers or have sent half a message.
func (s *Server) Freeze(pending []uint64) (clients []Carried, thaw func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), carryTimeout)
	defer cancel()
	accept, err := s.haltAccept(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("control: freeze: %w", err)
	}
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.clients))
	s.mu.Unlock()
	for _, c := range all {
		c.freeze() // all at once: one may take all the time there is
	}
	for _, c := range all {
		carried, ok := c.carry(ctx, pending)
		conn, has := c.conn.(syscall.Conn)
		if !ok || !has {
			continue
		}
		if carried.Conn, err = fd.Duplicate(conn, "client"); err != nil {
			s.reportf("a client is left behind: %w", err)
			continue
		}
		clients = append(clients, carried)
	}
	return clients, func() {
		for _, c := range all {
			c.thaw()
		}
		accept()
	}, nil
}

// haltAccept returns when nobody is being accepted, until resume is called.
func (s *Server) haltAccept(ctx context.Context) (resume func(), err error) {
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	if l == nil {
		return func() {}, nil
	}
	_ = l.unix.SetDeadline(past) // fails when it is closed, and then nobody is
	goOn := make(chan struct{})
	resume = func() {
		_ = l.unix.SetDeadline(time.Time{})
		close(goOn)
	}
	select {
	case s.halt <- goOn:
		return resume, nil
	case <-s.over:
		return func() {}, nil
	case <-ctx.Done():
		_ = l.unix.SetDeadline(time.Time{})
		return nil, errors.New("connections are being accepted")
	}
}

// goOnWith serves the clients that another server has left.
func (s *Server) goOnWith(ctx context.Context, clients []Carried) {
	for _, carried := range clients {
		conn, err := net.FileConn(carried.Conn)
		carried.Conn.Close()
		if err != nil {
			s.reportf("a client that was carried over: %w", err)
			continue
		}
		c := newClient(conn, s.o.Timeout)
		c.r = bufio.NewReader(io.MultiReader(bytes.NewReader(carried.Rest), conn))
		c.call.Begun(carried.Number)
		if !s.add(c) {
			conn.Close()
			continue
		}
		s.wg.Go(func() { s.serve(ctx, c, carried.Call) })
	}
}
