package handoff

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// settleTime is how long the end of an epoch waits for what is being taken over, and
// for a State.Load that does not mind its context, before it goes on beside it.
const settleTime = time.Second

// An ending is the end of an epoch, at a release or the drain. It loses no client.
type ending struct {
	e      *epoch
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

// end begins the end of the present epoch.
func (r *run) end(final bool) *ending {
	d := &ending{
		e:       r.s.epoch.Load(),
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
// epoch, and what was to be carried away, too. It reports whether it is not too late
// for that: states are being saved, or were.
func (d *ending) abandon() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.saving {
		return false
	}
	d.abandoned = true
	d.e.abandoned.Store(true)
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
	defer s.reporter.Count.DrainBegan()()
	s.manifest.finish(true)
	receive(d.ctx, r.probing.done)
	for _, srv := range d.e.servers {
		srv.stop(d.final) // or what it accepts would take the reserve
	}
	if d.final {
		s.closeListeners()
	}
	r.reserve.release()
	close(d.stopped)
	s.openOutbox(d.ctx, d.e) // for which the manager may take its time
	d.work(s.o.DrainTimeout)
	errs := r.finish(d)

	// From here on it is about what is left to the next generation, and a hurry
	// does not help it.
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	if out := d.e.out.Load(); out != nil {
		errs = append(errs, out.close(ctx))
		out.lighten()
	}
	errs = append(errs, s.reporter.Losses())
	if !d.save() {
		return errs
	}
	if !d.final { // for a drain that goes on already
		defer s.extend()()
	}
	if s.store.configured() {
		errs = append(errs, s.save(context.Background()))
	}
	barrier, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	if err := s.manager.Barrier(barrier); err != nil {
		errs = append(errs, fmt.Errorf("handoff: %w: %w", ErrLost, err))
	}
	return errs
}

// finish ends everything that serves in an epoch, and returns what went wrong.
func (r *run) finish(d *ending) (errs []error) {
	s, e, ctx := r.s, d.e, d.ctx
	e.endFinish(report.ErrDrainAlone)
	cause := ErrDraining
	if e.out.Load() == nil {
		cause = report.ErrDrainAlone
	}
	e.endCarry(cause)
	e.background.end(ErrDraining)
	s.drainPackets()
	e.reading.end(ErrDraining)
	// What has been taken out of a parcel reaches its server before that drains:
	// where nothing can be carried it is finished there as all others are.
	settled, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	e.reading.over(settled)

	waking, stopWaking := context.WithCancel(ctx)
	defer stopWaking()
	for _, k := range s.carriers {
		r.tasks.Go(func() { k.wake(waking, e) })
	}
	results := make(chan error, len(e.servers))
	for _, srv := range e.servers {
		r.tasks.Go(func() { results <- srv.drain(ctx) })
	}
	for i := range e.servers {
		err, ok := receive(ctx, results)
		if !ok {
			errs = append(errs, fmt.Errorf("handoff: %d servers: %w: %w", len(e.servers)-i, ErrCut, context.Cause(ctx)))
			break
		}
		errs = append(errs, err)
	}
	for _, t := range []struct {
		task
		what string
	}{{e.reading, "a function of State or what takes connections over"}, {e.background, "a function of Go"}} {
		if _, ok := receive(ctx, t.done); !ok {
			errs = append(errs, fmt.Errorf("handoff: %s: %w: %w", t.what, ErrCut, context.Cause(ctx)))
		}
	}
	if d.before != nil {
		stop := context.AfterFunc(ctx, func() { d.before.cut(context.Cause(ctx)) })
		<-d.before.done // what it does might change a state, or be carried on here
		stop()
	}
	for name, k := range s.carriers {
		if n := k.end(ctx, e); n > 0 {
			s.reporter.Count.Closed.Add(uint64(n))
			errs = append(errs, fmt.Errorf("handoff: carrier %q: %d connections: %w: %w", name, n, ErrCut, context.Cause(ctx)))
		}
	}
	return errs
}
