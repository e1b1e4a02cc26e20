package handoff

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
)

// settleTime is how long a shutdown waits for what is being taken over, and for a
// State.Load that does not mind its context, before it goes on beside it.
const settleTime = time.Second

// A shutdown ends an period, for a release or for the drain. It loses no client.
//
// It runs in a goroutine of its own. Run's goroutine alone calls the methods hurry,
// skipLameDuck and abandon, and is told by the channels, which are closed once, and
// stay so.
type shutdown struct {
	p      *period
	before *shutdown // one that may have been abandoned, and may not be over; nil: none
	last   bool      // the listeners are closed, too

	ctx context.Context // ends when there is no more time
	cut context.CancelCauseFunc

	hastened  chan struct{} // closed by skipLameDuck
	abandoned chan struct{} // closed by abandon

	stopped chan struct{} // closed when nothing more is accepted
	done    chan struct{} // closed when it is over
	errs    []error       // what went wrong, once done
}

// beginShutdown begins to end the present period.
func (r *run) beginShutdown(last bool) {
	d := &shutdown{
		p:         r.s.period.Load(),
		before:    r.shutdown,
		last:      last,
		hastened:  make(chan struct{}),
		abandoned: make(chan struct{}),
		stopped:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	d.ctx, d.cut = context.WithCancelCause(context.Background())
	r.shutdown = d
	r.s.leaving.Store(true)
	// The manager hears STOPPING=1 before anything that the shutdown sends.
	told := r.messages.passed()
	r.tasks.Go(func() {
		defer close(d.done)
		<-told
		d.errs = r.runShutdown(d)
		d.before = nil
	})
}

// skipLameDuck has the shutdown stop accepting at once.
func (d *shutdown) skipLameDuck() {
	select {
	case <-d.hastened:
	default:
		close(d.hastened)
	}
}

// hurry cuts the work short because of cause, but for what can go on at once.
func (d *shutdown) hurry(cause error) {
	d.skipLameDuck()
	time.AfterFunc(hurryGrace, func() { d.cut(cause) })
}

// abandon has the work under way go on for as long as it likes, beside the next
// period. What was to be carried away is served there.
func (d *shutdown) abandon() {
	d.p.Abandon()
	close(d.abandoned)
	d.skipLameDuck()
}

// limit cuts the work under way after timeout, unless it is abandoned.
func (d *shutdown) limit(timeout time.Duration) {
	select {
	case <-time.After(timeout):
		d.cut(fmt.Errorf("%v have passed", timeout))
	case <-d.abandoned:
	case <-d.ctx.Done():
	}
}

// A question of a shutdown: may it save the states?
type question struct {
	from *shutdown
	yes  chan bool
}

// maySave asks Run's goroutine. It says no to a shutdown that was abandoned: the
// states change again.
func (r *run) maySave(d *shutdown) bool {
	q := question{d, make(chan bool, 1)}
	select {
	case r.questions <- q:
		return <-q.yes
	case <-r.over:
		return false
	}
}

// runShutdown returns what went wrong. The order is a guard: nothing is accepted any
// more before the reserve of descriptors is released, what the manager keeps is open
// before anything is carried, and states are saved last, when nothing can change them.
func (r *run) runShutdown(d *shutdown) []error {
	s := r.s
	defer d.cut(nil)
	lameDuck := s.o.LameDuck
	if s.env.Rotation.Left() {
		lameDuck = 0 // balancers know
	}
	select {
	case <-time.After(lameDuck):
	case <-d.hastened:
	}
	defer s.env.Report.Count.DrainBegan()()
	s.store.LeaveManifest()
	resource.Receive(d.ctx, r.probing.done)
	s.parts.resources.StopAccepting(d.last) // or what is accepted would take the spare descriptors
	if d.last {
		s.parts.closeListeners()
	}
	r.spare.Release()
	close(d.stopped)
	out := s.openOutgoing(d.ctx) // for which the manager may take its time
	if out != nil {
		d.p.SetOut(out)
	}
	go d.limit(s.o.DrainTimeout)
	errs := r.drainAll(d)

	// From here on it is about what is left to the next generation, and a hurry
	// does not help it.
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	if out != nil {
		errs = append(errs, out.Close(ctx))
	}
	errs = append(errs, s.env.Report.Losses())
	if !r.maySave(d) {
		return errs
	}
	if !d.last { // for a drain that goes on already
		defer s.extend()()
	}
	if s.store.Configured() {
		errs = append(errs, r.saveAll(context.Background()))
	}
	barrier, cancel := context.WithTimeout(context.Background(), fdstore.EndTimeout)
	defer cancel()
	if err := s.manager.Barrier(barrier); err != nil {
		errs = append(errs, fmt.Errorf("handoff: %w: %w", ErrLost, err))
	}
	return errs
}

// drainAll ends everything that serves in a period, and returns what went wrong.
func (r *run) drainAll(d *shutdown) []error {
	p, ctx := d.p, d.ctx
	settle := func() {
		p.reading.end(ErrDraining)
		settled, cancel := context.WithTimeout(ctx, settleTime)
		defer cancel()
		p.reading.over(settled)
	}
	return r.s.parts.resources.Drain(ctx, p.Period, settle, func() (errs []error) {
		if _, ok := resource.Receive(ctx, p.reading.done); !ok {
			errs = append(errs, fmt.Errorf("handoff: a function of State or what takes connections over: %w: %w", ErrCut, context.Cause(ctx)))
		}
		if before := d.before; before != nil {
			stop := context.AfterFunc(ctx, func() { before.cut(context.Cause(ctx)) })
			<-before.done // what it does might change a state, or be carried on here
			stop()
		}
		return errs
	})
}
