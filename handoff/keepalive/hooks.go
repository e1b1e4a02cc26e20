package keepalive

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// connKey is the context key under which a request finds its *conn.
type connKey struct{}

// chain puts the tracker before the server's own hooks.
func (t *Tracker) chain() {
	t.srv.Handler = &handler{t: t, next: t.srv.Handler}

	state := t.srv.ConnState
	t.srv.ConnState = func(nc net.Conn, s http.ConnState) {
		c, own := unwrap(nc)
		if state != nil {
			state(own, s)
		}
		if c != nil {
			t.stateChanged(c, nc, s)
		}
	}

	connContext := t.srv.ConnContext
	t.srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		c, own := unwrap(nc)
		if connContext != nil {
			if ctx = connContext(ctx, own); ctx == nil {
				return nil // net/http says so
			}
		}
		if c != nil {
			ctx = context.WithValue(ctx, connKey{}, c)
		}
		return ctx
	}

	if base := t.srv.BaseContext; base != nil {
		t.srv.BaseContext = func(l net.Listener) context.Context {
			switch l := l.(type) {
			case *listener:
				return t.baseContext(base, l.Listener)
			case *queue:
				return t.baseContext(base, l.ln)
			}
			return base(l)
		}
	}
}

// baseContext asks for the context of ln once: what ln accepted and what was
// adopted for it share it.
func (t *Tracker) baseContext(base func(net.Listener) context.Context, ln net.Listener) context.Context {
	t.mu.Lock()
	once := t.contexts[ln]
	if once == nil {
		once = sync.OnceValue(func() context.Context { return base(ln) })
		t.contexts[ln] = once
	}
	t.mu.Unlock()
	return once()
}

// unwrap returns the tracked connection that net/http knows as nc, if it is one,
// and the connection that the server's owner knows it by.
func unwrap(nc net.Conn) (*conn, net.Conn) {
	switch nc := nc.(type) {
	case *conn:
		return nc, nc.Conn
	case *tls.Conn:
		c, _ := nc.NetConn().(*conn)
		return c, nc
	}
	return nil, nc
}

// stateChanged follows what net/http reports of c, which it knows as nc.
func (t *Tracker) stateChanged(c *conn, nc net.Conn, s http.ConnState) {
	before := c.setState(s)
	switch s {
	case http.StateActive:
		// HTTP/2 reports itself active before its first request.
		if tc, ok := nc.(*tls.Conn); ok && before == http.StateNew && tc.ConnectionState().NegotiatedProtocol == "h2" {
			c.becomeHTTP2()
		}
	case http.StateHijacked:
		t.hijacked.Add(1)
		t.leave(c)
	case http.StateClosed:
		if c.taken.Load() {
			return // carry takes it from the live
		}
		if t.drain.Load() != nil {
			t.finished.Add(1)
		}
		c.drop()
		t.leave(c)
	}
}

// A handler tells the connection what net/http made of a request, before the
// request's own handler.
type handler struct {
	t    *Tracker
	next http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok && c.begin(r) {
		w.Header().Set("Connection", "close")
		defer c.end()
	}
	next := h.next
	if next == nil {
		next = http.DefaultServeMux
	}
	next.ServeHTTP(w, r)
}
