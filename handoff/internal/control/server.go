package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/varlink/go/varlink"
)

// Options says how a server treats its clients. The zero value works.
type Options struct {
	// Version is that of the program, for org.varlink.service.GetInfo.
	Version string

	// MaxClients bounds how many are connected at once. 0 means 64.
	MaxClients int

	// Timeout bounds how long a message that has begun may take to be whole, and
	// how long a client may leave an answer in the socket. 0 means 10 seconds.
	Timeout time.Duration

	// Carried are clients of a server whose place this one takes: see
	// Server.Freeze. Their connections are closed with those of the others.
	Carried []Carried

	// Report is told what no client hears of, or should concern more than the one
	// who does: whoever was turned away, and why connections cannot be accepted.
	// It is called from one goroutine at a time. nil: nobody is told.
	Report func(error)
}

const (
	defaultMaxClients = 64
	defaultTimeout    = 10 * time.Second

	// maxTurnedAway bounds how many are told why they are not heard. More are
	// closed without a word.
	maxTurnedAway = 8
)

// Between two attempts to accept that fail, as they do when there are too many
// open files.
const (
	minAcceptPause = 10 * time.Millisecond
	maxAcceptPause = time.Second
)

// A Server serves the clients of one listener.
type Server struct {
	o       Options
	service *varlink.Service
	uid     uint32         // whom it serves besides root
	wg      sync.WaitGroup // of the clients' goroutines
	turned  chan struct{}  // a token for each that is being turned away

	reports sync.Mutex

	halt chan chan struct{} // to accept: it waits until what comes here is closed
	over chan struct{}      // closed when nobody is accepted any more

	mu       sync.Mutex
	listener *Listener
	clients  map[*client]struct{}
}

// Serve is a NewServer's.
func Serve(ctx context.Context, l *Listener, s Supervisor, o Options) error {
	return NewServer(s, o).Serve(ctx, l)
}

// Serve answers the clients of l until ctx ends, and then closes l and returns
// nil, as it does when l is closed. Clients that wait for an answer get
// ErrStopping. When Serve returns, every connection is closed and no goroutine is
// left: it waits for the calls of the supervisor that run, which end with ctx, and
// a second for clients that do not take their answers. It is called once.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.goOnWith(ctx, s.o.Carried)
	s.accept(ctx, l)
	close(s.over)
	stop()
	cancel()
	s.wg.Wait()
	return l.Close()
}

// NewServer returns a server for s, which does nothing yet.
func NewServer(s Supervisor, o Options) *Server {
	if o.MaxClients == 0 {
		o.MaxClients = defaultMaxClients
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &Server{
		o:       o,
		service: newService(s, o.Version),
		uid:     uint32(os.Geteuid()),
		turned:  make(chan struct{}, maxTurnedAway),
		clients: map[*client]struct{}{},
		halt:    make(chan chan struct{}),
		over:    make(chan struct{}),
	}
}

func (s *Server) reportf(format string, args ...any) {
	if s.o.Report != nil {
		s.reports.Lock()
		defer s.reports.Unlock()
		s.o.Report(fmt.Errorf("control: "+format, args...))
	}
}

// accept accepts until l is closed.
func (s *Server) accept(ctx context.Context, l *Listener) {
	pause := minAcceptPause
	for {
		conn, err := l.unix.AcceptUnix()
		switch {
		case err == nil:
			pause = minAcceptPause
			s.admit(ctx, conn)
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			select {
			case goOn := <-s.halt:
				<-goOn
			case <-ctx.Done():
				return
			case <-time.After(pause): // nobody halts it any more
			}
		default:
			s.reportf("%w; the next attempt in %v", err, pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// admit decides what becomes of a new connection.
func (s *Server) admit(ctx context.Context, conn *net.UnixConn) {
	pid, uid, err := peer(conn)
	switch {
	case err != nil:
		s.reportf("who has connected: %w", err)
		conn.Close()
		return
	case uid != 0 && uid != s.uid:
		err = fmt.Errorf("%w: this is for root and UID %d, not for UID %d", ErrPermission, s.uid, uid)
	default:
		c := newClient(conn, s.o.Timeout)
		if s.add(c) {
			s.wg.Go(func() { s.serve(ctx, c, nil) })
			return
		}
		err = fmt.Errorf("%w: %d wait for their answers", ErrTooManyClients, s.o.MaxClients)
	}
	s.reportf("turned away PID %d: %w", pid, err)
	select {
	case s.turned <- struct{}{}:
		s.wg.Go(func() {
			s.turnAway(ctx, newClient(conn, s.o.Timeout), err)
			<-s.turned
		})
	default:
		conn.Close()
	}
}

// add makes c one of the clients, if need be in the place of the one that has
// been idle for the longest time.
func (s *Server) add(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients) >= s.o.MaxClients {
		var oldest *client
		for other := range s.clients {
			if !other.idle.IsZero() && (oldest == nil || other.idle.Before(oldest.idle)) {
				oldest = other
			}
		}
		if oldest == nil {
			return false
		}
		delete(s.clients, oldest)
		oldest.conn.Close() // its goroutine reads
	}
	s.clients[c] = struct{}{}
	c.idle = time.Now()
	return true
}

func (s *Server) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
}

// mark says since when c has been idle; zero: it is not. It reports whether c is
// still one of the clients.
func (s *Server) mark(c *client, idle time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.idle = idle
	_, ok := s.clients[c]
	return ok
}

// serve answers the calls of a client, one after the other, until it is gone or
// ctx ends. It closes the connection. The first message may be known already.
func (s *Server) serve(ctx context.Context, c *client, message []byte) {
	defer s.remove(c)
	defer c.conn.Close()
	defer context.AfterFunc(ctx, c.wake)()
	for s.mark(c, time.Now()) {
		var err error
		if message == nil {
			if _, err := c.r.Peek(1); err != nil {
				if c.park(err) {
					continue
				}
				return
			}
			if s.mark(c, time.Time{}) {
				message, err = c.read()
			} else {
				return
			}
		}
		if err == nil {
			err = s.service.HandleMessage(c.begin(ctx, message), c, message)
			c.end()
		}
		if err != nil {
			s.complain(ctx, c, err)
			return
		}
		message = nil
	}
}

// complain tells a client what is wrong with its message, if it is that.
func (s *Server) complain(ctx context.Context, c *client, err error) {
	switch {
	case errors.Is(err, ErrTooLarge):
	case errors.Is(err, os.ErrDeadlineExceeded):
		if ctx.Err() != nil || c.broken {
			return
		}
		err = fmt.Errorf("%w message: not whole within %v", ErrInvalid, s.o.Timeout)
	case unreadable(err):
		err = fmt.Errorf("%w message: %w", ErrInvalid, err)
	default:
		return // gone
	}
	c.refuse(ctx, err)
}

// turnAway answers the first call with err, and closes the connection.
func (s *Server) turnAway(ctx context.Context, c *client, err error) {
	defer c.conn.Close()
	defer context.AfterFunc(ctx, c.wake)()
	if _, readErr := c.read(); readErr == nil {
		c.refuse(ctx, err)
	}
}
