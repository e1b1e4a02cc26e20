package resource

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"sync"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/keepalive"
)

// An httpServer serves in one period.
type httpServer struct {
	h         *HTTP
	p         *Period // nil before it serves
	srv       *http.Server
	given     *http.Server // as the program has made it
	handler   *leavingHandler
	tracker   *keepalive.Tracker
	gates     []*gate
	unsettled sync.WaitGroup // connections that were sent on and may come back
}

func newHTTPServer(h *HTTP, srv *http.Server) *httpServer {
	s := &httpServer{h: h, srv: srv, given: copyServer(srv)}
	s.handler = &leavingHandler{env: h.env, next: srv.Handler}
	srv.Handler, srv.ConnState = s.handler, s.handler.follow(srv.ConnState)
	if base := srv.BaseContext; base != nil {
		srv.BaseContext = func(ln net.Listener) context.Context {
			if g, ok := ln.(*gate); ok {
				ln = g.Listener
			}
			return base(ln)
		}
	}
	s.tracker = keepalive.New(srv, keepalive.Options{IdleGrace: h.grace, Flush: s.settle})
	return s
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

// again returns one that serves the same anew, when the gates were stopped.
func (s *httpServer) again() *httpServer {
	next := newHTTPServer(s.h, copyServer(s.given))
	for _, g := range s.gates {
		next.gates = append(next.gates, g.again())
	}
	return next
}

func (s *httpServer) serve() {
	// What the program has set since, and net/http has not yet.
	hooks := s.given
	s.given = copyServer(s.srv)
	s.given.Handler, s.given.ConnState = hooks.Handler, hooks.ConnState
	s.given.ConnContext, s.given.BaseContext = hooks.ConnContext, hooks.BaseContext
	for _, g := range s.gates {
		g.open()
		go func() {
			var err error
			if g.secure {
				err = s.tracker.ServeTLS(g, "", "")
			} else {
				err = s.tracker.Serve(g)
			}
			if !g.stopped.Load() {
				s.p.Fail(serveError(g, err))
			}
		}()
	}
}

// adopt serves a connection. errors.Is finds http.ErrServerClosed where it is too late.
func (s *httpServer) adopt(e protocol.Entry, c net.Conn) error {
	for _, g := range s.gates {
		if g.name == e.Name && g.carries() {
			return s.tracker.Adopt(g, c, e.Unread)
		}
	}
	return fmt.Errorf("nobody serves %q", e.Name)
}

func (s *httpServer) drain(ctx context.Context) error {
	var take func(keepalive.Carried) error
	if s.p.Out() != nil {
		take = func(c keepalive.Carried) error { return s.take(ctx, c) }
	}
	if err := s.tracker.Drain(ctx, take); err != nil {
		return fmt.Errorf("handoff: %w (%w): %w", report.ErrCut, context.Cause(ctx), err)
	}
	s.handler.handOver(ctx)
	return nil
}

// take sends a connection on.
func (s *httpServer) take(ctx context.Context, c keepalive.Carried) error {
	g, ok := c.Listener.(*gate)
	if !ok || g.name == "" {
		return errors.New("its listener is not from Listen")
	}
	e := protocol.Entry{Kind: protocol.KindHTTP, Name: g.name, Record: protocol.Record{Unread: c.ReadAhead}}
	s.unsettled.Add(1)
	err := s.p.sendOn(ctx, s.h.env, s.h.outbound(e, c.Conn), func(err error) {
		defer s.unsettled.Done()
		if err != nil {
			s.h.env.Report.NotCarried(err)
			s.tracker.GiveBack(c)
		}
	})
	if err != nil {
		s.unsettled.Done()
		s.h.env.Report.NotCarried(err)
	}
	return err
}

// settle sees to it that what was taken is in a parcel, or back at its server.
func (s *httpServer) settle(ctx context.Context) {
	if out := s.p.Out(); out != nil {
		out.Flush(ctx)
	}
	waitAll(ctx, &s.unsettled)
}
