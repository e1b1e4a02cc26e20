package loadtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Load is a run in progress. Its methods may be called from any goroutine.
type Load struct {
	ctx     context.Context
	options Options
	msg     *message
	start   time.Time

	clients []*client

	taken atomic.Int64              // requests that clients have taken to send
	end   atomic.Pointer[time.Time] // no request that is due then or later is sent; nil: not known yet
	marks atomic.Pointer[[]mark]    // phases, at least one; read without the lock

	mu       sync.Mutex    // serialises changes of end and marks, and guards markErr
	markErr  error         // of Mark
	finished chan struct{} // closed when no client runs any more; then these are set:
	result   *Result
	err      error
}

// Run is Start and Wait.
func Run(ctx context.Context, o Options) (*Result, error) {
	l, err := Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return l.Wait()
}

// Start starts the clients and returns at once, or says which option is wrong.
// The run goes on until its bounds are reached, Stop is called, or ctx ends. The
// caller calls Wait, always, to have its goroutines and connections gone.
func Start(ctx context.Context, o Options) (*Load, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	u, err := o.target()
	if err != nil {
		return nil, err
	}
	if err := o.resolve(ctx); err != nil {
		return nil, err
	}
	msg, err := newMessage(u, o)
	if err != nil {
		return nil, err
	}
	l := &Load{
		ctx:      ctx,
		options:  o,
		msg:      msg,
		start:    time.Now(),
		finished: make(chan struct{}),
	}
	l.marks.Store(&[]mark{{o.Phase, l.start}})
	if o.Duration > 0 {
		end := l.start.Add(o.Duration)
		l.end.Store(&end)
	}
	var running sync.WaitGroup
	for range o.Clients {
		c := newClient(l)
		l.clients = append(l.clients, c)
		running.Go(c.run)
	}
	go func() {
		running.Wait()
		l.result = l.collect()
		close(l.finished)
	}()
	return l, nil
}

// Mark begins a phase: the requests that are begun from now on (in an open
// loop: that are due from now on) are counted in it. Several phases may bear
// one name. After MaxPhases it does nothing, and Wait says so.
func (l *Load) Mark(phase string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := *l.marks.Load()
	if len(old) == MaxPhases {
		l.markErr = fmt.Errorf("loadtest: mark %q: there are %d phases already", phase, MaxPhases)
		return
	}
	// A reader may hold the old slice; appending past its length leaves what it
	// sees alone.
	marks := append(old, mark{phase, time.Now()})
	l.marks.Store(&marks)
}

// Counts is what has been counted so far, in all phases.
func (l *Load) Counts() Counts {
	var sum Counts
	for _, c := range l.clients {
		sum = sum.Add(c.tally.counts())
	}
	return sum
}

// Stop ends the run without cutting anything short: no request that is due
// later is begun, and Wait returns once those before are done, which
// Options.Timeout bounds.
func (l *Load) Stop() {
	l.mu.Lock()
	now := time.Now()
	if !l.over(now) {
		l.end.Store(&now)
	}
	l.mu.Unlock()
	for _, c := range l.clients {
		c.alarm.wake()
	}
}

// Wait returns when the run has ended and all its goroutines and connections
// are gone. The result is there also if the error is not nil: the run was ended
// by its context, and errors.Is finds context.Cause of it, or Mark was called
// too often. Failed requests are no error: Result says how many.
func (l *Load) Wait() (*Result, error) {
	<-l.finished
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result, errors.Join(l.err, l.markErr)
}

// next takes the next request to send, waits until it is due, and returns its
// number and when it was due. It returns false when the run is over.
func (l *Load) next(alarm alarm) (seq int64, due time.Time, ok bool) {
	seq = l.taken.Add(1) - 1
	if l.ctx.Err() != nil || l.options.Requests > 0 && seq >= l.options.Requests {
		return 0, due, false
	}
	if l.options.Rate == 0 {
		due = time.Now()
		return seq, due, !l.over(due)
	}
	due = l.start.Add(time.Duration(math.Round(float64(seq) * float64(time.Second) / l.options.Rate)))
	if l.over(due) {
		return 0, due, false
	}
	if d := time.Until(due); d > 0 {
		alarm.wait(d)
	}
	return seq, due, l.ctx.Err() == nil && !l.over(due)
}

// over reports whether a request that is due at t is no more to be sent.
func (l *Load) over(t time.Time) bool {
	end := l.end.Load()
	return end != nil && !t.Before(*end)
}

// collect makes the result of what the clients have counted.
func (l *Load) collect() *Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	marks, end := *l.marks.Load(), time.Now()
	r := &Result{Workload: l.msg.workload, Phases: make([]Phase, len(marks))}
	for i, m := range marks {
		next := end
		if i+1 < len(marks) {
			next = marks[i+1].at
		}
		r.Phases[i] = Phase{Name: m.name, Start: m.at.Round(0), Elapsed: next.Sub(m.at)}
	}
	for _, c := range l.clients {
		r.Failures = append(r.Failures, c.tally.collect(r.Phases)...)
	}
	r.Failures = firstOfEach(r.Failures)
	r.Total = Merge("total", r.Phases...)
	if l.ctx.Err() != nil {
		l.err = fmt.Errorf("loadtest: ended after %d requests: %w", r.Total.Counts.Requests(), context.Cause(l.ctx))
	}
	return r
}
