package handoff

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A reporter tells the program what happened, one thing at a time.
type reporter struct {
	mu   sync.Mutex
	tell func(error)
}

func (r *reporter) report(err error) {
	if err == nil || r.tell == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(err)
}

func (r *reporter) reportf(format string, args ...any) {
	r.report(fmt.Errorf("handoff: "+format, args...))
}

// limited reports whether err is the lack of something that may be there later.
func limited(err error) bool {
	_, ok := errors.AsType[*parcel.LimitError](err)
	return ok
}

// losses are connections that could not be carried on.
type losses struct {
	mu    sync.Mutex
	count int
	first error

	finished sync.Once // that there are some which are finished was reported
}

// notCarried reports why connections are finished here that could be carried on.
func (s *Service) notCarried(err error) {
	s.losses.finished.Do(func() { s.reportf("HTTP connections are finished instead of carried on: %w", err) })
}

// lose closes a connection that could not be carried on because of err. There
// may be thousands: Run says how many, and why the first one.
func (s *Service) lose(c net.Conn, err error) {
	s.counters.closed.Add(1)
	s.losses.mu.Lock()
	if s.losses.count++; s.losses.first == nil {
		s.losses.first = fmt.Errorf("connection with %v: %w", c.RemoteAddr(), err)
	}
	s.losses.mu.Unlock()
	c.Close()
}

// err returns what was lost since it was asked before.
func (l *losses) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, first := l.count, l.first
	l.count, l.first = 0, nil
	if n == 0 {
		return nil
	}
	return fmt.Errorf("handoff: %d connections: %w: the first: %w", n, ErrLost, first)
}

// Counters says what became of connections and states in this generation.
type Counters struct {
	CarriedIn  uint64 // connections taken over from the generation before
	CarriedOut uint64 // connections left for the next generation
	Finished   uint64 // connections that ended while this generation drained
	Closed     uint64 // connections cut, or closed because they could not be carried
	Refused    uint64 // connections and states that came and were not taken
	StatesIn   uint64 // states loaded
	StatesOut  uint64 // states saved

	Drain time.Duration // how long the drain took, or has taken so far
}

// counters are the ones that are not counted elsewhere.
type counters struct {
	carriedIn, carriedOut, finished, closed, refused, statesIn, statesOut atomic.Uint64

	drainBegan, drainEnded atomic.Int64 // Unix time in nanoseconds, 0: not yet
}

// add counts what became of the connections of an epoch that is over.
func (c *counters) add(e *epoch) {
	for _, srv := range e.servers {
		if h, ok := srv.(*httpServer); ok {
			n := h.tracker.Counts()
			c.finished.Add(n.Finished)
			c.closed.Add(n.Cut)
		}
	}
}

// Counters returns the counters as they are now.
func (s *Service) Counters() Counters {
	c := Counters{
		CarriedIn:  s.counters.carriedIn.Load(),
		CarriedOut: s.counters.carriedOut.Load(),
		Finished:   s.counters.finished.Load(),
		Closed:     s.counters.closed.Load(),
		Refused:    s.counters.refused.Load(),
		StatesIn:   s.counters.statesIn.Load(),
		StatesOut:  s.counters.statesOut.Load(),
	}
	s.mu.Lock()
	servers := s.epoch.Load().servers
	s.mu.Unlock()
	for _, srv := range servers {
		if h, ok := srv.(*httpServer); ok {
			n := h.tracker.Counts()
			c.Finished += n.Finished
			c.Closed += n.Cut
		}
	}
	if began := s.counters.drainBegan.Load(); began != 0 {
		ended := s.counters.drainEnded.Load()
		if ended == 0 {
			ended = time.Now().UnixNano()
		}
		c.Drain = time.Duration(ended - began)
	}
	return c
}
