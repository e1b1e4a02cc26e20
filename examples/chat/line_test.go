package main

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/holdfast-go/holdfast/handoff"
)

// A generation is one run of the server, without sockets.
type generation struct {
	*server
	ctx   context.Context
	drain context.CancelCauseFunc
}

func newGeneration(t testing.TB) *generation {
	owned := make(chan struct{})
	close(owned)
	g := &generation{server: &server{hub: newHub(), owned: owned}}
	g.ctx, g.drain = context.WithCancelCause(context.Background())
	t.Cleanup(func() { g.drain(nil) })
	return g
}

// next returns the generation after g, which has the rooms of g.
func (g *generation) next(t testing.TB) *generation {
	t.Helper()
	state, err := g.hub.save(g.ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := newGeneration(t)
	if err := n.hub.load(n.ctx, stateVersion, state); err != nil {
		t.Fatal(err)
	}
	return n
}

// A line is one connection: the client's end, and what serves the other.
type line struct {
	net.Conn          // the client's
	server   net.Conn // its other end
	ended    chan ended
}

type ended struct {
	carry []byte
	err   error
}

// connect has a new member's connection served.
func (g *generation) connect(t testing.TB, nick string) *line {
	t.Helper()
	m, err := g.hub.join("room", nick)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{}
	l.Conn, l.server = net.Pipe()
	t.Cleanup(func() {
		l.Close()
		l.server.Close()
	})
	g.goOn(l, position{Member: m.ID}.marshal())
	l.expect(t, text("* "+nick+" joined"))
	return l
}

// goOn serves l from a position on.
func (g *generation) goOn(l *line, state []byte) {
	l.ended = make(chan ended, 1)
	done := l.ended
	go func() {
		carry, err := g.serve(g.ctx, l.server, state)
		done <- ended{carry, err}
	}()
}

// carried drains l as a Carrier does, and returns where it stands.
func (l *line) carried(t testing.TB, g *generation) []byte {
	t.Helper()
	g.drain(handoff.ErrDraining)
	e := l.woken()
	if !errors.Is(e.err, handoff.ErrCarry) {
		t.Fatalf("serve returned %v, want ErrCarry", e.err)
	}
	l.server.SetDeadline(time.Time{})
	return e.carry
}

func (l *line) woken() ended {
	for {
		l.server.SetDeadline(time.Unix(1, 0))
		select {
		case e := <-l.ended:
			return e
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (l *line) send(t testing.TB, b []byte) {
	t.Helper()
	if _, err := l.Write(b); err != nil {
		t.Fatalf("send %.40q: %v", b, err)
	}
}

func (l *line) expect(t testing.TB, want ...ws.Frame) {
	t.Helper()
	expect(t, l, want...)
}

func expect(t testing.TB, r io.Reader, want ...ws.Frame) {
	t.Helper()
	for _, w := range want {
		f, err := ws.ReadFrame(r)
		if err != nil || f.Header.OpCode != w.Header.OpCode || string(f.Payload) != string(w.Payload) {
			t.Fatalf("got %d %.80q and error %v, want %d %.80q", f.Header.OpCode, f.Payload, err, w.Header.OpCode, w.Payload)
		}
	}
}

// bye is the frame by which the server ends a connection.
func bye(code ws.StatusCode, reason string) ws.Frame {
	return ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason))
}
