package resource

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// handoverTime is how long after Hijack a handler may take to give its connection to
// a Carrier. One that serves its connection itself is not waited for any longer.
const handoverTime = time.Second

// A leavingHandler tells the clients of connections that will not be carried to
// close them, from the moment the service is told to stop.
type leavingHandler struct {
	env      *Env
	next     http.Handler
	running  sync.WaitGroup            // handlers, those with a hijacked connection included
	hijacked atomic.Pointer[time.Time] // when that was done last
}

// follow returns a ConnState hook that calls next, which may be nil.
func (h *leavingHandler) follow(next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(c net.Conn, s http.ConnState) {
		if s == http.StateHijacked {
			now := time.Now()
			h.hijacked.Store(&now)
		}
		if next != nil {
			next(c, s)
		}
	}
}

func (h *leavingHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.running.Add(1)
	defer h.running.Done()
	leaving := h.env.Leaving() && (r.TLS != nil || !h.env.Stores()) || h.env.Rotation.Left()
	if leaving && r.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close") // for HTTP/2 it means GOAWAY
	}
	next := h.next
	if next == nil {
		next = http.DefaultServeMux
	}
	next.ServeHTTP(w, r)
}

// handOver waits for the handlers that still run, once no request can begin any
// more. Between Hijack and Carrier.Go a connection is nobody's: without the wait
// the drain would not know of it, and the process end with it.
func (h *leavingHandler) handOver(ctx context.Context) {
	last := h.hijacked.Load()
	if last == nil {
		return
	}
	ctx, cancel := context.WithDeadline(ctx, last.Add(handoverTime))
	defer cancel()
	waitAll(ctx, &h.running)
}
