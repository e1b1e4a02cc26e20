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

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
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
		e := s.epoch.Load()
		e.servers = append(e.servers, &anyServer{ln: newGate(&s.rotation, ln, s.names[ln], false), srv: srv})
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
	e := s.epoch.Load()
	var h *httpServer
	for _, known := range e.servers {
		if known, ok := known.(*httpServer); ok && known.srv == srv {
			h = known
		}
	}
	if h == nil {
		h = newHTTPServer(e, srv)
		e.servers = append(e.servers, h)
	}
	if secure && !h.secure {
		h.secure = true
		srv.TLSConfig = s.keys.install(srv.TLSConfig, s.names[ln])
	}
	h.listeners = append(h.listeners, newGate(&s.rotation, ln, s.names[ln], secure))
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
	leaving := h.s.leaving.Load() && (r.TLS != nil || !h.s.store.available()) || h.s.rotation.Left()
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

	// stop stops accepting, and closes the listeners if final.
	stop(final bool)

	// drain finishes the work under way and gives the rest to the epoch's outbox.
	drain(ctx context.Context) error

	// pausable returns how many listeners that are from Listen it serves, and whether
	// it can be made anew.
	pausable() (listeners int, ok bool)

	// again returns one that serves the same anew. It comes after stop.
	again(e *epoch) server
}

// An anyServer is one of which nothing is known.
type anyServer struct {
	ln  *gate
	srv Server
}

func (a *anyServer) count() int { return 1 }

func (a *anyServer) serve(ended chan<- error) {
	go func() { ended <- serveError(a.ln, a.srv.Serve(a.ln)) }()
}

func (a *anyServer) pausable() (int, bool) { return 0, false }

func (a *anyServer) again(*epoch) server { return a }

func (a *anyServer) stop(bool) {}

func (a *anyServer) drain(ctx context.Context) error {
	err := a.srv.Shutdown(ctx)
	a.ln.stop(true)
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

// carryOut puts a connection into the outbox. When it fails the connection is
// still the caller's. Otherwise settled is called exactly once: with nil when the
// connection has gone, and was closed here, or is served in the next epoch; with an
// error when it could not go, and is the caller's again.
func (e *epoch) carryOut(ctx context.Context, kind, name string, c net.Conn, r protocol.Record, settled func(error)) error {
	s := e.s
	if e.abandoned.Load() {
		<-e.followed
		return s.goOn(ctx, kind, name, c, r, settled)
	}
	out := e.out.Load()
	if out == nil {
		return ErrNoSuccessor
	}
	sock := socketOf(c)
	if sock == nil {
		return fmt.Errorf("%T is no socket", c)
	}
	entry := parcel.Entry{Kind: kind, Name: name, Payload: s.record(r), Descriptors: []syscall.Conn{sock}}
	return out.put(ctx, entry, func(err error) {
		if err == nil {
			s.reporter.Count.CarriedOut.Add(1)
			c.Close()
		}
		settled(err)
	})
}

// carryOrLose carries a connection out that nobody serves any more: it is closed
// where that fails.
func (e *epoch) carryOrLose(kind, name string, c net.Conn, r protocol.Record) {
	settled := func(err error) {
		if err != nil {
			e.s.reporter.Lose(c, err)
		}
	}
	if err := e.carryOut(context.Background(), kind, name, c, r, settled); err != nil {
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
