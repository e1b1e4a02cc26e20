package main

import (
	"context"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc"

	"github.com/holdfast-go/holdfast/handoff"
)

// A graceful server is a grpc.Server that handoff.Service.Serve can end without
// failing a call.
type graceful struct {
	*grpc.Server
	ln     *listener
	served chan struct{} // closed when nothing more is accepted
}

var _ handoff.Server = (*graceful)(nil)

func newGraceful(srv *grpc.Server, ln net.Listener) *graceful {
	return &graceful{Server: srv, ln: &listener{Listener: ln}, served: make(chan struct{})}
}

func (g *graceful) Serve(net.Listener) error {
	defer close(g.served)
	return g.Server.Serve(g.ln)
}

// Shutdown answers the calls under way, and cuts those that ctx does not wait for.
//
// GracefulStop by itself closes a connection that was accepted and not looked at
// yet, and the call that the client opened it for fails (UNAVAILABLE, "error
// reading server preface"). So it comes when there is none.
func (g *graceful) Shutdown(ctx context.Context) error {
	g.ln.Close()
	<-g.served
	g.ln.unseen.Wait()

	cut := context.AfterFunc(ctx, g.Stop) // which ends GracefulStop, too
	g.GracefulStop()
	if !cut() {
		return fmt.Errorf("calls were still under way: %w", context.Cause(ctx))
	}
	return nil
}

// A listener knows how many of its connections grpc.Server has not looked at yet.
type listener struct {
	net.Listener
	unseen sync.WaitGroup
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.unseen.Add(1)
	return &conn{Conn: c, seen: sync.OnceFunc(l.unseen.Done)}, nil
}

// A conn is seen once it is used: then it will not be closed without a word any
// more, but told to go away.
type conn struct {
	net.Conn
	seen func()
}

func (c *conn) Read(p []byte) (int, error) {
	c.seen()
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	c.seen()
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.seen()
	return c.Conn.Close()
}
