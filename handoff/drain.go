package handoff

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	servicemanager "github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/notify"
)

// errHurry is the cause of a drain that was cut short.
var errHurry = errors.New("a second interrupt")

// hurryGrace is how long a drain that was cut short still takes: time enough for
// connections that can be carried on at once.
const hurryGrace = time.Second

// drain ends the service because of cause, nil where it was told to, without losing a
// client.
func (r *run) drain(cause error) error {
	s := r.s
	hurried, hurry := context.WithCancelCause(context.Background())
	defer hurry(nil)
	defer r.listen(hurry)()
	if r.reload != nil {
		r.reload.cancel(ErrDraining)
	}
	stop := s.extend()
	defer stop()
	status := "draining"
	if cause != nil {
		status += ": " + cause.Error()
	}
	s.report(s.manager.Send(hurried, notify.Stopping(), notify.Status(report.Clip(status, maxStatus))))
	d := r.endFinally()
	defer context.AfterFunc(hurried, func() {
		d.skipLameDuck()
		time.AfterFunc(hurryGrace, func() { d.cut(context.Cause(hurried)) })
	})()
	if !d.final { // it began as a release
		<-d.stopped
		s.closeListeners()
	}
	<-d.done
	r.upkeep.end(ErrDraining)
	receive(canceled, r.upkeep.done)
	return errors.Join(d.errs...)
}

// endFinally begins the end of the service, or goes on with the one that a release
// has begun.
func (r *run) endFinally() *ending {
	if r.released == nil {
		return r.end(true)
	}
	return r.released.ending
}

func (s *Service) closeListeners() {
	for ln := range s.names {
		ln.Close()
	}
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
func (s *Service) openOutbox(ctx context.Context, e *epoch) {
	if !s.store.available() || !s.carries() || s.rotation.Left() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	out := &outbox{store: &s.store, first: s.firstEntry(), spare: s.spare(), live: s.intake != nil, lighten: ballast(ctx)}
	if _, err := out.open(ctx); err != nil {
		out.lighten()
		s.reportf("nothing is carried on, connections are finished: %w", err)
		return
	}
	e.out.Store(out)
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

// within calls f, a function of the program, which may not mind that ctx has ended.
// Then it is left behind, and what it sets must not be looked at.
func within(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	err, ok := receive(ctx, done)
	if !ok {
		return fmt.Errorf("it does not return: %w", context.Cause(ctx))
	}
	return err
}

// carries reports whether there may be connections to carry on.
func (s *Service) carries() bool {
	if len(s.carriers) > 0 {
		return true
	}
	for _, srv := range s.epoch.Load().servers {
		if h, ok := srv.(*httpServer); ok && slices.ContainsFunc(h.listeners, (*gate).carries) {
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
	return servicemanager.Extend(extendEvery, func(ctx context.Context) {
		if err := s.manager.ExtendTimeout(ctx, extendBy); err != nil && ctx.Err() == nil {
			s.report(err)
		}
	})
}
