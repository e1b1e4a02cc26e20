package handoff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/notify"
)

// errHurry is the cause of a drain that was cut short.
var errHurry = errors.New("a second interrupt")

// hurryGrace is how long a drain that was cut short still takes: time enough for
// connections that can be carried on at once.
const hurryGrace = time.Second

// settleTime is how long a drain waits for what is being taken over, and for a
// State.Load that does not mind its context, before it goes on beside it.
const settleTime = time.Second

// drain ends the service without losing a client.
func (r *run) drain() error {
	s := r.s
	s.leaving.Store(true)
	hurried, hurry := context.WithCancelCause(context.Background())
	defer hurry(nil)
	defer r.listen(hurry)()
	if r.reload != nil {
		r.reload.cancel(ErrDraining)
	}
	stop := s.extend()
	defer stop()
	s.report(s.manager.Send(hurried, notify.Stopping(), notify.Status("draining")))
	lameDuck := s.o.LameDuck
	if s.rotation.out() {
		lameDuck = 0 // balancers know
	}
	select {
	case <-time.After(lameDuck):
	case <-hurried.Done():
	}
	s.counters.drainBegan.Store(time.Now().UnixNano())
	defer func() { s.counters.drainEnded.Store(time.Now().UnixNano()) }()

	ctx, cancel := context.WithTimeoutCause(context.Background(), s.o.DrainTimeout, fmt.Errorf("%v have passed", s.o.DrainTimeout))
	defer cancel()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	defer context.AfterFunc(hurried, func() {
		time.AfterFunc(hurryGrace, func() { cut(context.Cause(hurried)) })
	})()
	s.manifest.finish()
	receive(ctx, r.probing.done)
	for ln := range s.names {
		ln.Close() // or what it accepts would take the reserve
	}
	r.reserve.release()
	s.openOutbox(ctx)
	errs := r.finish(ctx)

	// From here on it is about what is left to the next generation, and a hurry
	// does not help it.
	ctx, cancel = context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	if out := s.out.Load(); out != nil {
		errs = append(errs, out.close(ctx))
		out.lighten()
	}
	errs = append(errs, s.losses.err())
	if s.store.configured() {
		errs = append(errs, s.save(ctx))
	}
	r.upkeep.end(ErrDraining)
	receive(canceled, r.upkeep.done)
	if err := s.manager.Barrier(ctx); err != nil {
		errs = append(errs, fmt.Errorf("handoff: %w: %w", ErrLost, err))
	}
	return errors.Join(errs...)
}

// listen goes on with the signals, and calls hurry at the second interrupt.
// Others change nothing any more: a manager may repeat its SIGTERM. It returns
// what ends that.
func (r *run) listen(hurry context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case sig := <-r.signals:
				if r.interrupted(sig) {
					hurry(errHurry)
				}
			case err := <-r.failed:
				r.s.report(err)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// openOutbox makes the parcel for what is carried, if there is a store, and the
// service has not left the rotation: its read end is with the manager before
// anything is put in, so that a successor that runs already can read meanwhile.
func (s *Service) openOutbox(ctx context.Context) {
	if !s.store.available() || !s.carries() || s.rotation.out() {
		return
	}
	out := &outbox{store: &s.store, first: s.firstEntry(), spare: s.spare(), live: s.intake != nil, lighten: ballast(ctx)}
	if _, err := out.open(ctx); err != nil {
		out.lighten()
		s.reportf("nothing is carried on, connections are finished: %w", err)
		return
	}
	s.out.Store(out)
}

// finish ends everything that serves, and returns what went wrong. ctx says by
// when.
func (r *run) finish(ctx context.Context) (errs []error) {
	s := r.s
	s.endFinish(errDrainAlone)
	cause := ErrDraining
	if s.out.Load() == nil {
		cause = errDrainAlone
	}
	s.endCarry(cause)
	for _, p := range s.packets {
		p.drain()
	}
	r.background.end(ErrDraining)
	r.reading.end(ErrDraining)
	// What has been taken out of a parcel reaches its server before that drains:
	// where nothing can be carried it is finished there as all others are.
	settled, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	select {
	case <-r.reading.done:
	case <-settled.Done():
	}

	waking, stopWaking := context.WithCancel(ctx)
	defer stopWaking()
	for _, k := range s.carriers {
		r.tasks.Go(func() { k.wake(waking) })
	}
	results := make(chan error, len(s.servers))
	for _, srv := range s.servers {
		r.tasks.Go(func() { results <- srv.drain(ctx, s) })
	}
	for i := range s.servers {
		err, ok := receive(ctx, results)
		if !ok {
			errs = append(errs, fmt.Errorf("handoff: %d servers: %w: %w", len(s.servers)-i, ErrCut, context.Cause(ctx)))
			break
		}
		errs = append(errs, err)
	}
	for _, t := range []struct {
		task
		what string
	}{{r.reading, "a function of State or what takes connections over"}, {r.background, "a function of Go"}} {
		if _, ok := receive(ctx, t.done); !ok {
			errs = append(errs, fmt.Errorf("handoff: %s: %w: %w", t.what, ErrCut, context.Cause(ctx)))
		}
	}
	for name, k := range s.carriers {
		if n := k.end(ctx); n > 0 {
			s.counters.closed.Add(uint64(n))
			errs = append(errs, fmt.Errorf("handoff: carrier %q: %d connections: %w: %w", name, n, ErrCut, context.Cause(ctx)))
		}
	}
	return errs
}

// receive waits for ch as long as ctx, and a little longer for those who mind it.
func receive[T any](ctx context.Context, ch <-chan T) (v T, ok bool) {
	select {
	case v = <-ch:
		return v, true
	case <-ctx.Done():
	}
	select {
	case v = <-ch:
		return v, true
	case <-time.After(afterCut):
		return v, false
	}
}

// carries reports whether there may be connections to carry on.
func (s *Service) carries() bool {
	if len(s.carriers) > 0 {
		return true
	}
	for _, srv := range s.servers {
		if h, ok := srv.(*httpServer); ok && slices.ContainsFunc(h.listeners, httpListener.carries) {
			return true
		}
	}
	return false
}

const (
	extendBy    = 15 * time.Second
	extendEvery = 5 * time.Second
)

// extend asks the manager for more time, over and over, until stop is called:
// what goes on has deadlines of its own.
func (s *Service) extend() (stop func()) {
	if !s.manager.Managed() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			if err := s.manager.ExtendTimeout(ctx, extendBy); err != nil && ctx.Err() == nil {
				s.report(err)
			}
			select {
			case <-time.After(extendEvery):
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}
