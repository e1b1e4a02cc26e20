package handoff

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/resource"
)

// settleTime is how long the end of a period waits for what is being taken over, and
// for a State.Load that does not mind its context, before it goes on beside it.
const settleTime = time.Second

// An ending is the end of a period, at a release or the drain. It loses no client.
type ending struct {
	p      *period
	before *ending // the last one that was abandoned; nil: none
	final  bool    // the listeners are closed, too

	ctx    context.Context // ends when there is no more time
	cut    context.CancelCauseFunc
	timer  *time.Timer // cuts; nil before the work begins
	hurry  chan struct{}
	hasten sync.Once

	mu        sync.Mutex
	abandoned bool
	saving    bool // or saved: too late to abandon

	stopped chan struct{} // closed when nothing more is accepted
	done    chan struct{}
	errs    []error // once done
}

// end begins the end of the present period.
func (r *run) end(final bool) *ending {
	d := &ending{
		p:       r.s.period.Load(),
		before:  r.abandoned,
		final:   final,
		hurry:   make(chan struct{}),
		stopped: make(chan struct{}),
		done:    make(chan struct{}),
	}
	d.ctx, d.cut = context.WithCancelCause(context.Background())
	r.s.leaving.Store(true)
	r.tasks.Go(func() {
		defer close(d.done)
		d.errs = r.carryOutEnd(d)
	})
	return d
}

// skipLameDuck has the work end at once.
func (d *ending) skipLameDuck() { d.hasten.Do(func() { close(d.hurry) }) }

// abandon has the work under way go on for as long as it likes, beside the next
// period, and what was to be carried away, too. It reports whether it is not too late
// for that: states are being saved, or were.
func (d *ending) abandon() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.saving {
		return false
	}
	d.abandoned = true
	d.p.Abandon()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.skipLameDuck()
	return true
}

// work limits the time for the work under way, unless that goes on.
func (d *ending) work(timeout time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.abandoned {
		d.timer = time.AfterFunc(timeout, func() { d.cut(fmt.Errorf("%v have passed", timeout)) })
	}
}

// save reports whether states are to be saved.
func (d *ending) save() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.saving = !d.abandoned
	return d.saving
}

// carryOutEnd returns what went wrong.
func (r *run) carryOutEnd(d *ending) []error {
	s := r.s
	defer d.cut(nil)
	lameDuck := s.o.LameDuck
	if s.rotation.Left() {
		lameDuck = 0 // balancers know
	}
	select {
	case <-time.After(lameDuck):
	case <-d.hurry:
	}
	defer s.env.Report.Count.DrainBegan()()
	s.manifest.finish(true)
	resource.Receive(d.ctx, r.probing.done)
	s.parts.resources.StopAccepting(d.final) // or what is accepted would take the reserve
	if d.final {
		s.parts.closeListeners()
	}
	r.reserve.release()
	close(d.stopped)
	out := s.openOutbox(d.ctx) // for which the manager may take its time
	if out != nil {
		d.p.SetOut(out)
	}
	d.work(s.o.DrainTimeout)
	errs := r.finish(d)

	// From here on it is about what is left to the next generation, and a hurry
	// does not help it.
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	if out != nil {
		errs = append(errs, out.close(ctx))
		out.lighten()
	}
	errs = append(errs, s.env.Report.Losses())
	if !d.save() {
		return errs
	}
	if !d.final { // for a drain that goes on already
		defer s.extend()()
	}
	if s.store.configured() {
		errs = append(errs, s.saveAll(context.Background()))
	}
	barrier, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := s.manager.Barrier(barrier); err != nil {
		errs = append(errs, fmt.Errorf("handoff: %w: %w", ErrLost, err))
	}
	return errs
}

// finish ends everything that serves in a period, and returns what went wrong.
func (r *run) finish(d *ending) []error {
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
		if d.before != nil {
			stop := context.AfterFunc(ctx, func() { d.before.cut(context.Cause(ctx)) })
			<-d.before.done // what it does might change a state, or be carried on here
			stop()
		}
		return errs
	})
}
