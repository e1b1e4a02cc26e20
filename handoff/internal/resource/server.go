package resource

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// A Serving is a server of which nothing else is known.
type Serving interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

// A Server is any server with one listener. It serves in one period only.
type Server struct {
	ln  *gate
	srv Serving
}

var _ Resource = (*Server)(nil)

// NewServer returns a resource that has srv serve ln, which is called name; "" if it is
// not the Service's.
func NewServer(env *Env, ln net.Listener, name string, srv Serving) *Server {
	return &Server{ln: newGate(env.Rotation, ln, name, false), srv: srv}
}

// Start has it serve.
func (s *Server) Start(p *Period) {
	go func() {
		err := serveError(s.ln, s.srv.Serve(s.ln))
		if !s.ln.stopped.Load() {
			p.Fail(err)
		}
	}()
}

// StopAccepting leaves that to Shutdown.
func (s *Server) StopAccepting(bool) { s.ln.stopped.Store(true) }

// Drain shuts the server down.
func (s *Server) Drain(ctx context.Context, _ *Period) error {
	err := s.srv.Shutdown(ctx)
	s.ln.stop(true)
	if err != nil {
		return fmt.Errorf("handoff: %v: %w: %w", s, report.ErrCut, err)
	}
	return nil
}

// Needs: nothing, and a server that was shut down cannot serve again.
func (s *Server) Needs() Needs { return Needs{Fixed: true} }

func (s *Server) String() string { return fmt.Sprintf("server on %v", s.ln.Addr()) }

func serveError(ln net.Listener, err error) error {
	if err == nil {
		err = errors.New("it returned without an error")
	}
	return fmt.Errorf("handoff: serve on %v: %w", ln.Addr(), err)
}
