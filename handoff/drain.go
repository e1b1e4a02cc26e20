package handoff

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	servicemanager "github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/notify"
)

// errHurry is the cause of a drain that was cut short.
var errHurry = errors.New("a second interrupt")

// hurryGrace is how long a drain that was cut short still takes: time enough for
// connections that can be carried on at once.
const hurryGrace = time.Second

// An ending is what Run's goroutine knows of the end of the service.
type ending struct {
	cause     error           // nil: it was told to stop
	hurried   context.Context // ends hurryGrace after the second interrupt
	hurry     context.CancelCauseFunc
	extending task // asks the manager for more time
}

// hurryUp cuts the end of the service short.
func (r *run) hurryUp() {
	time.AfterFunc(hurryGrace, func() { r.hurry(errHurry) })
	r.shutdown.hurry(errHurry)
}

// sendStopping tells the manager that the service ends because of cause, nil where it
// was told to. What goes on has deadlines of its own: the manager is to wait for it.
func (r *run) sendStopping(cause error) {
	s := r.s
	r.cause = cause
	s.leaving.Store(true)
	if r.reload != nil {
		r.reload.cancel(ErrDraining)
	}
	status := "draining"
	if cause != nil {
		status += ": " + cause.Error()
	}
	r.tell(notify.Stopping(), notify.Status(report.Clip(status, maxStatus)))
	r.extending = r.spawn(func(ctx context.Context) error {
		defer s.extend()()
		<-ctx.Done()
		return nil
	})
}

// openOutgoing makes the parcel for what is carried, if there is a store, and the
// service has not left the rotation: its read end is with the manager before
// anything is put in, so that a successor that runs already can read meanwhile.
func (s *Service) openOutgoing(ctx context.Context) *fdstore.Outgoing {
	needs := s.parts.resources.Needs()
	if !s.store.Available() || !needs.Carries || s.env.Rotation.Left() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, fdstore.EndTimeout)
	defer cancel()
	out, err := s.store.OpenOutgoing(ctx, s.firstEntry(), needs.Entries, s.intake != nil)
	if err != nil {
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
