package handoff

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/keepalive"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A Server is what Serve runs. *http.Server is one.
type Server interface {
	// Serve accepts on the listener until that is closed or Shutdown is called,
	// and always returns an error.
	Serve(net.Listener) error

	// Shutdown stops accepting, and returns when the work under way is finished
	// or the context ends.
	Shutdown(context.Context) error
}

var _ Server = (*http.Server)(nil)

// Serve has srv serve ln while Run runs. It may be called for several listeners
// with the same srv.
//
// The connections of an *http.Server that stand between two requests, or in one
// that no handler has seen, go on in the next generation, with every byte, where
// ln is from Listen and the next generation serves a listener of that name by
// Serve. Its Handler, ConnState, ConnContext and BaseContext are wrapped: set them
// before. Connections that a handler hijacks are the program's, see Carrier.Go.
// Any other server is told to Shutdown when the drain begins.
//
// When srv stops serving of its own accord Run drains and returns its error.
func (s *Service) Serve(ln net.Listener, srv Server) error {
	return s.change(func() error {
		if h, ok := srv.(*http.Server); ok {
			return s.addHTTP(ln, h, false)
		}
		s.servers = append(s.servers, &anyServer{ln: s.gate(ln), srv: srv})
		return nil
	})
}

// ServeTLS is Serve for TLS, with HTTP/2 where srv does not rule that out.
// srv.TLSConfig has a certificate, or a way to get one; srv gets a copy of it.
//
// TLS connections are not carried: from the moment the service is told to stop
// each is told to close by its next answer (HTTP/1) or by GOAWAY (HTTP/2). The
// session ticket keys go on, so that a client's next handshake resumes: they are
// the Service's, which makes a new one every day and takes those of a week. A
// TLSConfig with a WrapSession of its own keeps its own way.
func (s *Service) ServeTLS(ln net.Listener, srv *http.Server) error {
	c := srv.TLSConfig
	if c == nil || len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		return fmt.Errorf("handoff: serve TLS on %v: the TLSConfig has none of Certificates, GetCertificate and GetConfigForClient", ln.Addr())
	}
	return s.change(func() error {
		if s.keys == nil {
			s.keys = newKeyring()
		}
		return s.addHTTP(ln, srv, true)
	})
}

// addHTTP adds a listener to srv. The caller holds s.mu.
func (s *Service) addHTTP(ln net.Listener, srv *http.Server, secure bool) error {
	var h *httpServer
	for _, known := range s.servers {
		if known, ok := known.(*httpServer); ok && known.srv == srv {
			h = known
		}
	}
	if h == nil {
		handler := &leavingHandler{s: s, next: srv.Handler}
		srv.Handler, srv.ConnState = handler, handler.follow(srv.ConnState)
		h = &httpServer{srv: srv, handler: handler}
		h.tracker = keepalive.New(srv, keepalive.Options{Grace: s.o.Grace, Settle: func(ctx context.Context) { h.settle(ctx, s) }})
		s.servers = append(s.servers, h)
	}
	if secure && !h.secure {
		h.secure = true
		srv.TLSConfig = s.keys.install(srv.TLSConfig, s.names[ln])
	}
	h.listeners = append(h.listeners, httpListener{Listener: s.gate(ln), name: s.names[ln], secure: secure})
	return nil
}

// handoverTime is how long after Hijack a handler may take to give its connection to
// a Carrier. One that serves its connection itself is not waited for any longer.
const handoverTime = time.Second

// A leavingHandler tells the clients of connections that will not be carried to
// close them, from the moment the service is told to stop.
type leavingHandler struct {
	s        *Service
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
	leaving := h.s.leaving.Load() && (r.TLS != nil || !h.s.store.available()) || h.s.rotation.out()
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

// waitAll waits for all until ctx ends.
func waitAll(ctx context.Context, all *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// A server is one that Run runs.
type server interface {
	// serve begins to serve, and sends to ended, once for each listener, when it
	// does no longer and why.
	serve(ended chan<- error)
	count() int // of listeners

	// drain finishes the work under way and gives the rest to the outbox, which
	// may be nil.
	drain(ctx context.Context, s *Service) error
}

// An anyServer is one of which nothing is known.
type anyServer struct {
	ln  net.Listener
	srv Server
}

func (a *anyServer) count() int { return 1 }

func (a *anyServer) serve(ended chan<- error) {
	go func() { ended <- serveError(a.ln, a.srv.Serve(a.ln)) }()
}

func (a *anyServer) drain(ctx context.Context, s *Service) error {
	err := a.srv.Shutdown(ctx)
	a.ln.Close() // in case it did not
	if err != nil {
		return fmt.Errorf("handoff: server on %v: %w: %w", a.ln.Addr(), ErrCut, err)
	}
	return nil
}

func serveError(ln net.Listener, err error) error {
	if err == nil {
		err = errors.New("it returned without an error")
	}
	return fmt.Errorf("handoff: serve on %v: %w", ln.Addr(), err)
}

// An httpServer is one whose connections can be carried.
type httpServer struct {
	srv       *http.Server
	handler   *leavingHandler
	tracker   *keepalive.Tracker
	listeners []httpListener
	secure    bool           // serves TLS, too
	unsettled sync.WaitGroup // connections that were put into the outbox and may come back
}

type httpListener struct {
	net.Listener
	name   string // empty where it is not from Listen
	secure bool
}

// carries reports whether the listener's connections can be carried.
func (l httpListener) carries() bool { return l.name != "" && !l.secure }

func (h *httpServer) count() int { return len(h.listeners) }

func (h *httpServer) serve(ended chan<- error) {
	for _, l := range h.listeners {
		go func() {
			if l.secure {
				ended <- serveError(l, h.tracker.ServeTLS(l.Listener, "", ""))
			} else {
				ended <- serveError(l, h.tracker.Serve(l.Listener))
			}
		}()
	}
}

func (h *httpServer) drain(ctx context.Context, s *Service) error {
	var take func(keepalive.Carried) error
	if s.out.Load() != nil {
		take = func(c keepalive.Carried) error {
			name := s.names[c.Listener]
			if name == "" {
				return errors.New("its listener is not from Listen")
			}
			h.unsettled.Add(1)
			err := s.carryOut(ctx, kindHTTP, name, c.Conn, record{unread: c.ReadAhead}, func(err error) {
				defer h.unsettled.Done()
				if err != nil {
					s.notCarried(err)
					h.tracker.GiveBack(c)
				}
			})
			if err != nil {
				h.unsettled.Done()
				s.notCarried(err)
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
func (h *httpServer) settle(ctx context.Context, s *Service) {
	if out := s.out.Load(); out != nil {
		out.flush(ctx)
	}
	waitAll(ctx, &h.unsettled)
}

// carryOut puts a connection into the outbox. When it fails the connection is
// still the caller's. Otherwise settled is called exactly once: with nil when the
// connection has gone, and was closed here; with an error when it could not, and
// is the caller's again.
func (s *Service) carryOut(ctx context.Context, kind, name string, c net.Conn, r record, settled func(error)) error {
	out := s.out.Load()
	if out == nil {
		return ErrNoSuccessor
	}
	sock := socketOf(c)
	if sock == nil {
		return fmt.Errorf("%T is no socket", c)
	}
	e := parcel.Entry{Kind: kind, Name: name, Payload: s.record(r), Descriptors: []syscall.Conn{sock}}
	return out.put(ctx, e, func(err error) {
		if err == nil {
			s.counters.carriedOut.Add(1)
			c.Close()
		}
		settled(err)
	})
}

// carryOrLose carries a connection out that nobody serves any more: it is closed
// where that fails.
func (s *Service) carryOrLose(kind, name string, c net.Conn, r record) {
	settled := func(err error) {
		if err != nil {
			s.lose(c, err)
		}
	}
	if err := s.carryOut(context.Background(), kind, name, c, r, settled); err != nil {
		settled(err)
	}
}

// socketOf returns what gives access to the socket below c, nil where it cannot
// be carried. What TLS needs to go on is not in its socket.
func socketOf(c net.Conn) syscall.Conn {
	for c != nil {
		if _, ok := c.(*tls.Conn); ok {
			return nil
		}
		if sc, ok := c.(syscall.Conn); ok {
			return sc
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = below.NetConn()
	}
	return nil
}
