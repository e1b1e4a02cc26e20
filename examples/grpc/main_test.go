package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// serve serves e on loopback, on a listener that wrap may change.
func serve(t *testing.T, e *echo, wrap func(net.Listener) net.Listener, o ...grpc.ServerOption) (*graceful, *client) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		ln = wrap(ln)
	}
	srv := grpc.NewServer(o...)
	srv.RegisterService(&service, e)
	g := newGraceful(srv, ln)
	go g.Serve(ln)
	t.Cleanup(func() {
		srv.Stop()
		<-g.served
	})
	return g, mustClient(t, new(net.Dialer).DialContext, ln.Addr().String())
}

func newEcho() *echo { return &echo{draining: make(chan struct{})} }

func TestCalls(t *testing.T) {
	leaktest.Check(t)
	ctx := exampletest.Deadline(t)
	_, c := serve(t, newEcho(), nil)
	if err := c.say(ctx, "hello"); err != nil {
		t.Error(err)
	}
	s, err := c.talk(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one", "", "three"} {
		if err := exchange(s, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := end(s); err != nil {
		t.Error(err)
	}
	k, err := c.ticks(ctx, 40)
	if err != nil {
		t.Fatal(err)
	}
	for want := range 3 {
		if n, err := k.Recv(); err != nil || n.Value != int64(40+want) {
			t.Errorf("got tick %v and error %v, want %d", n, err, 40+want)
		}
	}
}

func TestWrongCalls(t *testing.T) {
	leaktest.Check(t)
	ctx := exampletest.Deadline(t)
	_, c := serve(t, newEcho(), nil)
	k, err := c.ticks(ctx, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Recv(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "from -1: want 0 or more") {
		t.Errorf("ticks from -1: got %v, want InvalidArgument", err)
	}
	if err := c.cc.Invoke(ctx, path+"Nothing", new(emptypb.Empty), new(emptypb.Empty)); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown method: got %v, want Unimplemented", err)
	}
	if err := c.say(ctx, strings.Repeat("x", 5<<20)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("5 MiB: got %v, want ResourceExhausted", err)
	}
}

func TestTicksEndWithTheGeneration(t *testing.T) {
	leaktest.Check(t)
	e := newEcho()
	_, c := serve(t, e, nil)
	k, err := c.ticks(exampletest.Deadline(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Recv(); err != nil {
		t.Fatal(err)
	}
	close(e.draining)
	for err == nil {
		_, err = k.Recv()
	}
	if err != io.EOF {
		t.Errorf("it ended with %v, want OK", err)
	}
}

func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	leaktest.Check(t)
	ctx := exampletest.Deadline(t)
	g, c := serve(t, newEcho(), nil)
	s, err := c.talk(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(s, "before"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Shutdown(ctx) }()
	<-g.served
	if err := exchange(s, "meanwhile"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v with a call under way", err)
	default:
	}
	if err := end(s); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	leaktest.Check(t)
	g, c := serve(t, newEcho(), nil)
	s, err := c.talk(exampletest.Deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := exchange(s, "hello"); err != nil {
		t.Fatal(err)
	}
	over := errors.New("time is over")
	ctx, cancel := context.WithCancelCause(exampletest.Deadline(t))
	cancel(over)
	if err := g.Shutdown(ctx); !errors.Is(err, over) {
		t.Errorf("got %v, want %v", err, over)
	}
	if err := end(s); status.Code(err) != codes.Unavailable {
		t.Errorf("the call got %v, want Unavailable", err)
	}
}

// A client that connects and says nothing holds the drain up for the connection
// timeout, and no longer.
func TestShutdownWithSilentConnection(t *testing.T) {
	leaktest.Check(t)
	g, _ := serve(t, newEcho(), nil, grpc.ConnectionTimeout(50*time.Millisecond))
	c, err := net.Dial("tcp", g.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != nil { // the server's settings: it has been accepted
		t.Fatal(err)
	}
	if err := g.Shutdown(exampletest.Deadline(t)); err != nil {
		t.Error(err)
	}
}

// A lateListener accepts a connection at the very moment at which it is closed.
type lateListener struct {
	net.Listener
	accepted chan struct{} // closed with the connection in hand
	closed   chan struct{}
	close    func()
}

func (l *lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		close(l.accepted)
		<-l.closed
	}
	return c, err
}

func (l *lateListener) Close() error {
	l.close()
	return l.Listener.Close()
}

// A call on a connection that was accepted while the server was told to end is
// answered: here, or by the successor who shares the socket.
func TestShutdownServesWhatWasAccepted(t *testing.T) {
	leaktest.Check(t)
	ctx := exampletest.Deadline(t)
	late := &lateListener{accepted: make(chan struct{}), closed: make(chan struct{})}
	late.close = sync.OnceFunc(func() { close(late.closed) })
	var shared net.Listener
	g, c := serve(t, newEcho(), func(ln net.Listener) net.Listener {
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if shared, err = net.FileListener(f); err != nil {
			t.Fatal(err)
		}
		late.Listener = ln
		return late
	})
	done := make(chan error, 1)
	go func() {
		<-late.accepted
		serve(t, newEcho(), func(own net.Listener) net.Listener {
			own.Close()
			return shared
		})
		done <- g.Shutdown(ctx)
	}()
	if err := c.say(ctx, "hello"); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunRefuses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	address := ln.Addr().String()
	if err := run(t.Context(), address, time.Second); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v, want an error that names %s", err, address)
	}
}
