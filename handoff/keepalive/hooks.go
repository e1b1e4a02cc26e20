package keepalive

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
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
	defer t.mu.Unlock()
	ctx, ok := t.contexts[ln]
	if !ok {
		ctx = base(ln)
		t.contexts[ln] = ctx
	}
	return ctx
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
	// HTTP/2 reports itself active before its first request.
	tc, ok := nc.(*tls.Conn)
	http2 := ok && s == http.StateActive && tc.ConnectionState().NegotiatedProtocol == "h2"
	c.setState(s, http2)
	switch {
	case http2:
		t.becameHTTP2(c)
	case s == http.StateHijacked:
		t.hijacked.Add(1)
		t.leave(c)
	case s == http.StateClosed && !c.taken.Load():
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
