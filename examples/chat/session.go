package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast-go/holdfast/handoff"
)

const (
	// pingAfter is how long a client may be silent before it is asked whether it
	// is still there, and how long it then has to answer.
	pingAfter = 30 * time.Second

	// writeTimeout is how long a client may read nothing of what it is sent.
	writeTimeout = time.Minute

	// closeTimeout is how long a client has to close after goodbye was said.
	closeTimeout = 5 * time.Second
)

// A position is where the service of one connection stands.
type position struct {
	Version int
	Member  uint64
	input
	Out []byte // taken out of the member's queue, and not yet written
}

const positionVersion = 1

func (p position) marshal() []byte {
	p.Version = positionVersion
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // it has nothing that JSON cannot express
	}
	return b
}

// errPosition: a connection was carried by a program that says otherwise where
// it stands.
var errPosition = errors.New("unknown format of a position")

func parsePosition(b []byte) (p position, err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("%w: %w", errPosition, err)
	}
	if p.Version != positionVersion {
		return p, fmt.Errorf("%w: version %d, want %d", errPosition, p.Version, positionVersion)
	}
	return p, nil
}

// A session serves one connection.
type session struct {
	hub *hub
	m   *member
	c   net.Conn
	position
}

var _ handoff.ConnFunc = (*server)(nil).serve

// serve serves a WebSocket, from its handshake on or from where the generation
// before left it.
func (s *server) serve(ctx context.Context, c net.Conn, state []byte) (carry []byte, err error) {
	// Before the rooms are here nobody would hear what is said.
	select {
	case <-s.owned:
	case <-ctx.Done():
		return state, handoff.ErrCarry
	}
	p, err := parsePosition(state)
	if err != nil {
		return nil, err
	}
	m, err := s.hub.attach(p.Member)
	if err != nil {
		// The rooms were lost on the way, and the client had better begin anew.
		c.SetWriteDeadline(time.Now().Add(closeTimeout))
		c.Write(append(p.Out, closeFrame(serviceRestart, "the room was lost")...))
		return nil, err
	}
	ss := &session{hub: s.hub, m: m, c: c, position: p}
	if err := ss.run(ctx); err != nil {
		s.hub.leave(m)
		return nil, err
	}
	if errors.Is(context.Cause(ctx), handoff.ErrNoSuccessor) {
		return nil, ss.goodbye()
	}
	// The member stays in its room: what is said until all connections have come
	// to rest is in its queue, and so in the state.
	return ss.position.marshal(), handoff.ErrCarry
}

// run reads and writes until the connection is over, or until the generation
// drains: then it returns nil.
func (s *session) run(ctx context.Context) error {
	writing, stop := context.WithCancel(ctx)
	defer stop()
	written := make(chan error, 1)
	go func() {
		err := s.write(writing)
		if err != nil {
			s.c.Close() // ends read
		}
		written <- err
	}()
	err := s.read(ctx)
	if err != nil {
		s.c.Close() // ends write
	}
	stop()
	return errors.Join(err, <-written)
}

// goodbye ends a connection that nobody will go on with.
func (s *session) goodbye() error {
	out, last := s.hub.take(s.m, s.Out)
	if !last {
		out = append(out, closeFrame(ws.StatusGoingAway, "the service ends")...)
	}
	_, err := s.c.Write(out)
	return err
}

// read deals with what the client sends.
func (s *session) read(ctx context.Context) error {
	var (
		buf    = make([]byte, 4096)
		asked  bool      // a ping was the last that happened
		closed time.Time // when the client must have closed
	)
	for {
		deadline := closed
		if closed.IsZero() {
			s.hear()
			deadline = time.Now().Add(pingAfter)
		}
		if s.hub.closing(s.m) && closed.IsZero() {
			closed = time.Now().Add(closeTimeout)
			deadline = closed
		}
		if ctx.Err() != nil {
			return nil
		}
		s.c.SetReadDeadline(deadline)
		n, err := s.c.Read(buf)
		if closed.IsZero() {
			s.In = append(s.In, buf[:n]...)
		}
		switch {
		case err == nil:
			asked = false
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case ctx.Err() != nil:
			// Woken for the drain.
		case asked || !closed.IsZero():
			return fmt.Errorf("the client is silent: %w", err)
		default:
			asked = true
			s.hub.send(s.m, ws.NewPingFrame(nil))
		}
	}
}

// hear deals with all that has been read whole.
func (s *session) hear() {
	for {
		op, payload, err := s.next()
		if bad, ok := errors.AsType[*closeError](err); ok {
			s.hub.dismiss(s.m, bad.code, bad.reason)
		}
		if err != nil {
			return
		}
		switch op {
		case ws.OpText:
			s.hub.say(s.m, string(payload))
		case ws.OpPing:
			s.hub.send(s.m, ws.NewPongFrame(payload))
		case ws.OpClose:
			code, reason := closeAnswer(payload)
			s.hub.dismiss(s.m, code, reason)
			return
		}
	}
}

// write sends what is queued for the client, until ctx ends or goodbye is said.
func (s *session) write(ctx context.Context) error {
	for {
		var last bool
		if s.Out, last = s.hub.take(s.m, s.Out); len(s.Out) == 0 && !last {
			select {
			case <-s.m.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		for len(s.Out) > 0 {
			if ctx.Err() != nil {
				return nil
			}
			s.c.SetWriteDeadline(time.Now().Add(writeTimeout))
			n, err := s.c.Write(s.Out)
			s.Out = s.Out[n:]
			if err != nil && (ctx.Err() == nil || !errors.Is(err, os.ErrDeadlineExceeded)) {
				return err
			}
		}
		if last {
			closeWrite(s.c)
			return nil
		}
	}
}

// closeWrite has the client see the end of what is sent to it. To close the
// connection at once might lose that: where the client has sent something that is
// not read, TCP throws away what is on its way to the client.
func closeWrite(c net.Conn) {
	for {
		switch v := c.(type) {
		case interface{ CloseWrite() error }:
			v.CloseWrite()
			return
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return
		}
	}
}
