package handoff

import (
	"context"
	"errors"
	"sync"
	"time"

	servicemanager "github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
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
		s.parts.closeListeners()
	}
	<-d.done
	r.upkeep.end(ErrDraining)
	resource.Receive(canceled, r.upkeep.done)
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
func (s *Service) openOutbox(ctx context.Context) *outbox {
	needs := s.parts.resources.Needs()
	if !s.store.available() || !needs.Carries || s.rotation.Left() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	out := &outbox{store: &s.store, first: s.firstEntry(), spare: needs.Entries, live: s.intake != nil, lighten: ballast(ctx)}
	if _, err := out.open(ctx); err != nil {
		out.lighten()
		s.reportf("nothing is carried on, connections are finished: %w", err)
		return nil
	}
	return out
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
