package handoff

import (
	"context"

	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	"github.com/holdfast-go/holdfast/handoff/internal/life"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// A handover is to a successor that may still fail: RELEASE is answered when all is
// as at the end of a drain, and this generation can go on by RESUME (see
// HANDOFF_SOCKET in package parcel).
type handover struct {
	release, resume uint64 // the manager's numbers of the last orders

	saved saved // by the last shutdown

	// Of the functions State.Resume, which are being called; nil: they are not.
	resumed chan error
	cut     context.CancelCauseFunc
}

// ordered notes an order of the manager.
func (r *run) ordered(d *parcel.Delivery) {
	if d.Release != 0 {
		r.handover.release = d.Release
		r.handle(life.ReleaseAsked, nil)
		return
	}
	r.handover.resume = d.Resume
	r.handle(life.ResumeAsked, nil)
}

// beginRelease begins to leave everything to the successor.
func (r *run) beginRelease() {
	if lameDuck := r.s.o.LameDuck; lameDuck > 0 {
		r.exchange(func(ctx context.Context) error { return r.s.manager.ExtendTimeout(ctx, lameDuck+extendBy) })
	}
	r.beginShutdown(false)
}

// sendReleased tells the manager that all is left.
func (r *run) sendReleased() {
	number := r.handover.release
	r.exchange(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, fdstore.ExchangeTimeout)
		defer cancel()
		return r.s.intake.Released(ctx, number)
	})
}

// sendResumed tells the manager that this generation serves.
func (r *run) sendResumed() {
	number := r.handover.resume
	r.exchange(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, fdstore.ExchangeTimeout)
		defer cancel()
		return r.s.intake.Resumed(ctx, number)
	})
}

// beginPeriod serves anew: the successor has failed. The states are what they were,
// and connections come by deliveries.
func (r *run) beginPeriod() {
	s, d := r.s, r.shutdown
	if s.parts.resources.Needs().Carries {
		r.spare.Fill()
	}
	r.tasks.Go(func() {
		<-d.done
		s.parts.resources.Forget(d.p.Period)
		for _, err := range d.errs {
			s.report(err)
		}
	})
	next := &period{Period: resource.NewPeriod()}
	next.Fail = r.fail
	s.enter(next)
	s.store.KeepManifest()
	s.leaving.Store(false)
	s.parts.resources.Serve(next.Period)
	d.p.Follow()
	r.begin(next, d.p)
	r.tell(notify.Status("serving again: the successor failed"))
}

// resumeStates has the functions State.Resume called, in another goroutine.
func (r *run) resumeStates() {
	ctx, cut := context.WithCancelCause(context.Background())
	resumed := make(chan error, 1)
	r.handover.resumed, r.handover.cut = resumed, cut
	r.tasks.Go(func() {
		defer cut(nil)
		resumed <- r.resumeAll(ctx)
	})
}

// statesResumed notes how that ended.
func (r *run) statesResumed(err error) {
	r.handover.resumed = nil
	if err != nil {
		r.handle(life.StatesLost, err)
		return
	}
	r.handle(life.StatesBack, nil)
}
