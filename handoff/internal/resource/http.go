package resource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// HTTP is an HTTP server. Its HTTP/1 connections without TLS that stand between two
// requests, or in one that no handler has seen, go to the next generation. In each
// period another *http.Server serves, because one that was shut down does not serve
// again.
type HTTP struct {
	env    *Env
	grace  time.Duration
	secure bool // it uses ticket keys

	mu      sync.Mutex
	present *httpServer
	of      map[*Period]*httpServer // those that have served, until they are forgotten
}

var _ interface {
	Resource
	Adopter
	Counter
} = (*HTTP)(nil)

// NewHTTP returns a resource for srv, whose Handler, ConnState and BaseContext it
// wraps. grace is that of keepalive.Options.
func NewHTTP(env *Env, srv *http.Server, grace time.Duration) *HTTP {
	h := &HTTP{env: env, grace: grace, of: make(map[*Period]*httpServer)}
	h.present = newHTTPServer(h, srv)
	return h
}

// Listen adds a listener, which is called name; "" if it is not the Service's. secure
// says that TLS is spoken on it. It comes before the first period. carries reports
// whether its connections go to the next generation, as entries of that name.
func (h *HTTP) Listen(ln net.Listener, name string, secure bool) (carries bool) {
	g := newGate(h.env.Rotation, ln, name, secure)
	h.present.gates = append(h.present.gates, g)
	return g.carries()
}

// UseKeys has TLS sessions of the server be resumed with keys, for tickets of the first
// listener that is given, which label names.
func (h *HTTP) UseKeys(keys *TicketKeys, label string) {
	if h.secure {
		return
	}
	h.secure = true
	h.present.srv.TLSConfig = keys.Install(h.present.srv.TLSConfig, label)
}

// now returns the server that serves, or that served last.
func (h *HTTP) now() *httpServer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.present
}

func (h *HTTP) in(p *Period) *httpServer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of[p]
}

// Start serves: with the program's server first, and then with a copy of it.
func (h *HTTP) Start(p *Period) {
	h.mu.Lock()
	if h.present.p != nil {
		h.present = h.present.again()
	}
	srv := h.present
	srv.p = p
	h.of[p] = srv
	h.mu.Unlock()
	srv.serve()
}

// StopAccepting stops its gates.
func (h *HTTP) StopAccepting(last bool) {
	for _, g := range h.now().gates {
		g.stop(last)
	}
}

// Drain finishes the requests under way, and sends on what can be.
func (h *HTTP) Drain(ctx context.Context, p *Period) error { return h.in(p).drain(ctx) }

// Needs a parcel where there is a listener whose connections can be carried.
func (h *HTTP) Needs() Needs {
	gates := h.now().gates
	return Needs{
		Carries:   slices.ContainsFunc(gates, (*gate).carries),
		Fixed:     slices.ContainsFunc(gates, func(g *gate) bool { return !g.pausable() }),
		Listeners: len(gates),
	}
}

func (h *HTTP) String() string {
	gates := h.now().gates
	if len(gates) == 0 {
		return "HTTP server"
	}
	return fmt.Sprintf("HTTP server on %v", gates[0].Addr())
}

// Judge takes all.
func (h *HTTP) Judge(protocol.Entry) protocol.Fate { return protocol.Take }

// Adopt serves a connection that another generation has left.
func (h *HTTP) Adopt(ctx context.Context, e protocol.Entry, it *parcel.Item) error {
	defer it.Close()
	c, err := it.Conn(0)
	if err != nil {
		return err
	}
	srv := h.now()
	switch err := srv.adopt(e, c); {
	case err == nil:
		h.env.Report.CountCarriedIn()
	case errors.Is(err, http.ErrServerClosed):
		// This generation has no time for it.
		h.env.Report.CountCarriedIn()
		srv.p.sendOnOrClose(h.env, h.outbound(e, c))
	default:
		c.Close()
		return err
	}
	return nil
}

// outbound is a connection that goes to the next generation, or stays here.
func (h *HTTP) outbound(e protocol.Entry, c net.Conn) connection {
	out := connection{Conn: c, Entry: e}
	out.stay = func(ctx context.Context, settled func(error)) error {
		srv := h.now()
		err := srv.adopt(e, c)
		if errors.Is(err, http.ErrServerClosed) {
			return srv.p.sendOn(ctx, h.env, out, settled)
		}
		if err == nil {
			settled(nil)
		}
		return err
	}
	return out
}

// Counts sums up the servers that are not forgotten.
func (h *HTTP) Counts() (finished, cut uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, srv := range h.of {
		n := srv.tracker.Counts()
		finished += n.Finished
		cut += n.Cut
	}
	return finished, cut
}

// Forget adds up what became of the connections of p.
func (h *HTTP) Forget(p *Period) {
	h.mu.Lock()
	defer h.mu.Unlock()
	srv := h.of[p]
	if srv == nil {
		return
	}
	n := srv.tracker.Counts()
	h.env.Report.Count.Finished.Add(n.Finished)
	h.env.Report.Count.Closed.Add(n.Cut)
	delete(h.of, p)
}
