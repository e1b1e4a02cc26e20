package handoff

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
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
//
// errors.Is finds ErrRunning, and ErrServed for a listener that is served already.
func (s *Service) Serve(ln net.Listener, srv Server) error {
	return s.change(func(p *parts) error {
		name, err := p.serve(ln)
		if err != nil {
			return err
		}
		if h, ok := srv.(*http.Server); ok {
			s.addHTTP(p, ln, name, h, false)
		} else {
			p.resources.Add(resource.NewServer(&s.env, ln, name, srv))
		}
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
	return s.change(func(p *parts) error {
		name, err := p.serve(ln)
		if err != nil {
			return err
		}
		if p.keys == nil {
			p.keys = resource.NewTicketKeys(&s.env)
			p.resources.Add(p.keys)
		}
		s.addHTTP(p, ln, name, srv, true)
		return nil
	})
}

// addHTTP adds a listener to srv.
func (s *Service) addHTTP(p *parts, ln net.Listener, name string, srv *http.Server, secure bool) {
	h := p.servers[srv]
	if h == nil {
		h = resource.NewHTTP(&s.env, srv, s.o.IdleGrace)
		p.servers[srv] = h
		p.resources.Add(h)
	}
	if secure {
		h.UseKeys(p.keys, name)
	}
	if h.Listen(ln, name, secure) {
		p.resources.Route(protocol.KindHTTP, name, h)
	}
}
