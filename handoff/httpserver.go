package handoff

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/keepalive"
)

// An httpServer is one whose connections can be carried.
type httpServer struct {
	e         *epoch
	srv       *http.Server
	given     *http.Server // as the program has made it
	handler   *leavingHandler
	tracker   *keepalive.Tracker
	listeners []*gate
	secure    bool           // serves TLS, too
	unsettled sync.WaitGroup // connections that were put into the outbox and may come back
}

func newHTTPServer(e *epoch, srv *http.Server) *httpServer {
	h := &httpServer{e: e, srv: srv, given: copyServer(srv)}
	h.handler = &leavingHandler{s: e.s, next: srv.Handler}
	srv.Handler, srv.ConnState = h.handler, h.handler.follow(srv.ConnState)
	if base := srv.BaseContext; base != nil {
		srv.BaseContext = func(ln net.Listener) context.Context {
			if g, ok := ln.(*gate); ok {
				ln = g.Listener
			}
			return base(ln)
		}
	}
	h.tracker = keepalive.New(srv, keepalive.Options{Grace: e.s.o.Grace, Settle: h.settle})
	return h
}

// copyServer returns a server with the fields of srv, that has not served. What was
// registered by RegisterOnShutdown is not in them.
func copyServer(srv *http.Server) *http.Server {
	c := new(http.Server)
	from, to := reflect.ValueOf(srv).Elem(), reflect.ValueOf(c).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return c
}

func (h *httpServer) count() int { return len(h.listeners) }

func (h *httpServer) serve(ended chan<- error) {
	// What the program has set since, and net/http has not yet.
	hooks := h.given
	h.given = copyServer(h.srv)
	h.given.Handler, h.given.ConnState = hooks.Handler, hooks.ConnState
	h.given.ConnContext, h.given.BaseContext = hooks.ConnContext, hooks.BaseContext
	for _, g := range h.listeners {
		g.open()
		go func() {
			if g.secure {
				ended <- serveError(g, h.tracker.ServeTLS(g, "", ""))
			} else {
				ended <- serveError(g, h.tracker.Serve(g))
			}
		}()
	}
}

func (h *httpServer) stop(final bool) {
	for _, g := range h.listeners {
		g.stop(final)
	}
}

func (h *httpServer) pausable() (listeners int, ok bool) {
	for _, g := range h.listeners {
		if !g.pausable() {
			return 0, false
		}
	}
	return len(h.listeners), true
}

func (h *httpServer) again(e *epoch) server {
	next := newHTTPServer(e, copyServer(h.given))
	next.secure = h.secure
	for _, g := range h.listeners {
		next.listeners = append(next.listeners, g.again())
	}
	return next
}

func (h *httpServer) drain(ctx context.Context) error {
	var take func(keepalive.Carried) error
	if h.e.out.Load() != nil {
		take = func(c keepalive.Carried) error {
			g, ok := c.Listener.(*gate)
			if !ok || g.name == "" {
				return errors.New("its listener is not from Listen")
			}
			h.unsettled.Add(1)
			err := h.e.carryOut(ctx, protocol.KindHTTP, g.name, c.Conn, protocol.Record{Unread: c.ReadAhead}, func(err error) {
				defer h.unsettled.Done()
				if err != nil {
					h.e.s.reporter.NotCarried(err)
					h.tracker.GiveBack(c)
				}
			})
			if err != nil {
				h.unsettled.Done()
				h.e.s.reporter.NotCarried(err)
			}
			return err
		}
	}
	if err := h.tracker.Drain(ctx, take); err != nil {
		return fmt.Errorf("handoff: %w (%w): %w", ErrCut, context.Cause(ctx), err)
	}
	h.handler.handOver(ctx)
	return nil
}

// settle sees to it that what was taken is in a parcel, or back at its server.
func (h *httpServer) settle(ctx context.Context) {
	if out := h.e.out.Load(); out != nil {
		out.flush(ctx)
	}
	waitAll(ctx, &h.unsettled)
}
