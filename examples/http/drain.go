package main

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// drainer ends an http.Server without losing a request that has reached it.
//
// http.Server.Shutdown alone does lose some: it cuts a connection that was
// accepted and is not yet tracked, and net/http drops a request that was read
// right before Shutdown without answering it. So Shutdown comes last, when no
// connection is busy.
type drainer struct {
	srv *http.Server

	mu       sync.Mutex
	busy     map[net.Conn]struct{} // tracked by net/http, and neither idle nor gone
	draining bool
	quiet    chan struct{} // closed once draining and nothing is busy
}

// newDrainer prepares srv, whose Handler must be set and which must not serve yet.
func newDrainer(srv *http.Server) *drainer {
	d := &drainer{srv: srv, busy: make(map[net.Conn]struct{}), quiet: make(chan struct{})}
	srv.ConnState = d.connState
	next := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.isDraining() {
			// Not SetKeepAlivesEnabled(false): that closes idle connections at
			// once, also one whose next request is already on its way.
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
	return d
}

func (d *drainer) isDraining() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.draining
}

func (d *drainer) connState(c net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateNew, http.StateActive:
		d.busy[c] = struct{}{}
	default:
		delete(d.busy, c)
	}
	d.settle()
}

// settle closes quiet once the last busy connection is done. d.mu is held.
func (d *drainer) settle() {
	if d.draining && len(d.busy) == 0 {
		select {
		case <-d.quiet:
		default:
			close(d.quiet)
		}
	}
}

// drain stops accepting on ln, answers every request on the connections there
// are, and shuts the server down. It may be called once. serving delivers what
// Serve(ln) returns: from then on no accepted connection is untracked. An error
// says that ctx ended first, with requests still under way.
func (d *drainer) drain(ctx context.Context, ln net.Listener, serving <-chan error) error {
	if err := ln.Close(); err != nil {
		return err
	}
	select {
	case <-serving:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.mu.Lock()
	d.draining = true
	d.settle()
	d.mu.Unlock()
	select {
	case <-d.quiet:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return d.srv.Shutdown(ctx)
}
