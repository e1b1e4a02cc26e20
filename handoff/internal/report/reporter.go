package report

import (
	"fmt"
	"net"
	"sync"
)

// A Reporter tells the program what happened, one thing at a time, and counts. Any
// goroutine may call its methods.
type Reporter struct {
	Count Counters

	mu      sync.Mutex
	tell    func(error) // nil: nobody is told
	arrived chan struct{}

	losses   losses
	finished sync.Once // that connections are finished, and not carried, was reported
}

// New returns a Reporter that calls tell, by one goroutine at a time. It may be nil.
func New(tell func(error)) *Reporter {
	return &Reporter{tell: tell, arrived: make(chan struct{}, 1)}
}

// Report tells the program of err, unless that is nil.
func (r *Reporter) Report(err error) {
	if err == nil || r.tell == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(err)
}

// Reportf is Report with an error of package handoff.
func (r *Reporter) Reportf(format string, args ...any) {
	r.Report(fmt.Errorf("handoff: "+format, args...))
}

// CountCarriedIn counts a connection that the generation before has left.
func (r *Reporter) CountCarriedIn() {
	r.Count.CarriedIn.Add(1)
	select {
	case r.arrived <- struct{}{}:
	default:
	}
}

// CarriedIn receives when Count.CarriedIn has grown since it last did.
func (r *Reporter) CarriedIn() <-chan struct{} { return r.arrived }

// NotCarried reports, the first time, why connections are finished here that could be
// carried on.
func (r *Reporter) NotCarried(err error) {
	r.finished.Do(func() { r.Reportf("HTTP connections are finished instead of carried on: %w", err) })
}

// losses are connections that could not be carried on.
type losses struct {
	mu    sync.Mutex
	count int
	first error
}

// Lose closes a connection that could not be carried on because of err. There may be
// thousands, so that it reports nothing: Losses says how many, and why the first one.
func (r *Reporter) Lose(c net.Conn, err error) {
	r.Count.Closed.Add(1)
	r.losses.mu.Lock()
	if r.losses.count++; r.losses.first == nil {
		r.losses.first = fmt.Errorf("connection with %v: %w", c.RemoteAddr(), err)
	}
	r.losses.mu.Unlock()
	c.Close()
}

// Losses returns what Lose was called for since Losses was called before; nil if it
// was not. errors.Is finds ErrLost, and the cause of the first loss.
func (r *Reporter) Losses() error {
	l := &r.losses
	l.mu.Lock()
	defer l.mu.Unlock()
	n, first := l.count, l.first
	l.count, l.first = 0, nil
	if n == 0 {
		return nil
	}
	return fmt.Errorf("handoff: %d connections: %w: the first: %w", n, ErrLost, first)
}
