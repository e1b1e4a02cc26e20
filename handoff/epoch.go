package handoff

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
)

// An epoch is a time in which the service serves: from Run, or from where it
// resumed, until it releases or drains. Mostly there is one.
type epoch struct {
	s       *Service
	servers []server // none is added once Run has begun

	// The contexts of connections that can be carried, and of those that cannot.
	carrying, finishing context.Context
	endCarry, endFinish context.CancelCauseFunc
	out                 atomic.Pointer[outbox] // nil until the end, and where nothing is carried
	abandoned           atomic.Bool            // its end goes on beside the next epoch
	followed            chan struct{}          // closed when that serves

	reading    task       // takes over what comes
	background task       // the functions of Go
	serving    chan error // what the servers return
}

func newEpoch(s *Service) *epoch {
	e := &epoch{s: s, followed: make(chan struct{})}
	e.carrying, e.endCarry = context.WithCancelCause(context.Background())
	e.finishing, e.endFinish = context.WithCancelCause(context.Background())
	return e
}

// again returns an epoch with the same servers, made anew.
func (e *epoch) again() *epoch {
	next := newEpoch(e.s)
	for _, srv := range e.servers {
		next.servers = append(next.servers, srv.again(next))
	}
	return next
}

// serve has all servers serve.
func (e *epoch) serve() {
	listeners := 0
	for _, srv := range e.servers {
		listeners += srv.count()
	}
	e.serving = make(chan error, listeners)
	for _, srv := range e.servers {
		srv.serve(e.serving)
	}
}

// begin starts what goes on beside the servers, each thing when the epoch before, if
// there is one, has done with it.
func (r *run) begin(e, before *epoch) {
	s := r.s
	fs := s.background
	read := func(ctx context.Context) error { return r.inbox.run(ctx, e) }
	if before != nil {
		fs = nil
		for _, f := range append(s.background[:len(s.background):len(s.background)], idle) {
			fs = append(fs, func(ctx context.Context) error {
				if !before.background.over(ctx) || !s.readPackets(ctx) {
					return nil
				}
				return f(ctx)
			})
		}
		read = func(ctx context.Context) error {
			if !before.reading.over(ctx) {
				return nil
			}
			return r.inbox.run(ctx, e)
		}
	}
	e.background = r.spawn(fs...)
	e.reading = r.spawn(read)
}

// idle has packets read again where no function of Go does it.
func idle(context.Context) error { return nil }

// over waits until t has ended, or ctx, and reports whether it was t.
func (t task) over(ctx context.Context) bool {
	select {
	case <-t.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// readPackets lets packet sockets be read again, unless ctx has ended.
func (s *Service) readPackets(ctx context.Context) bool {
	for _, p := range s.packets {
		p.resume()
	}
	if ctx.Err() != nil { // the sockets may have been drained before
		s.drainPackets()
		return false
	}
	return true
}

func (s *Service) drainPackets() {
	for _, p := range s.packets {
		p.drain()
	}
}

// resumable reports whether an epoch can follow another: not where a server cannot
// be made anew, or a listener cannot stop accepting without being closed.
func (s *Service) resumable() bool {
	if s.intake == nil || !s.store.available() {
		return false
	}
	served := 0
	for _, srv := range s.epoch.Load().servers {
		n, ok := srv.pausable()
		if !ok {
			return false
		}
		served += n
	}
	return served == len(s.names) // else the program accepts by itself
}

// goOn serves a connection that was to be carried away: this generation stays. Or
// is about to leave again, and takes it along.
func (s *Service) goOn(ctx context.Context, kind, name string, c net.Conn, r protocol.Record, settled func(error)) error {
	if kind == protocol.KindConn {
		c.SetDeadline(time.Time{})
		s.carriers[name].adopt(c, r, false)
		settled(nil)
		return nil
	}
	h, g := s.httpFor(name)
	if h == nil {
		return fmt.Errorf("nobody serves %q", name)
	}
	err := h.tracker.Adopt(g, c, r.Unread)
	if errors.Is(err, http.ErrServerClosed) {
		return h.e.carryOut(ctx, kind, name, c, r, settled)
	}
	if err == nil {
		settled(nil)
	}
	return err
}
