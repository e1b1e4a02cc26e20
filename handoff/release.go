package handoff

import (
	"context"

	"github.com/holdfast-go/holdfast/handoff/internal/resource"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// A release is a hand-over to a successor that may still fail: all is as at the end
// of a drain, but this generation can go on (see HANDOFF_SOCKET in package parcel).
type release struct {
	number uint64 // the manager's; 0 once it was told that it is done
	ending *ending
}

// ordered carries out an order of the manager. An error ends the service.
func (r *run) ordered(d *parcel.Delivery) error {
	if d.Release != 0 {
		r.release(d.Release)
		return nil
	}
	return r.resume(d.Resume)
}

func (r *run) release(number uint64) {
	s := r.s
	if r.released != nil {
		r.released.number = number
		return
	}
	if s.o.LameDuck > 0 {
		s.report(s.manager.ExtendTimeout(context.Background(), s.o.LameDuck+extendBy))
	}
	r.released = &release{number: number, ending: r.end(false)}
}

// releasing returns what is closed when the release that is under way is done.
func (r *run) releasing() <-chan struct{} {
	if r.released == nil || r.released.number == 0 {
		return nil
	}
	return r.released.ending.done
}

// releaseDone tells the manager.
func (r *run) releaseDone() {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	r.s.report(r.s.intake.Released(ctx, r.released.number))
	r.released.number = 0
}

// resume serves again: the successor has failed. The states are what they were, and
// connections come by deliveries.
func (r *run) resume(number uint64) error {
	s := r.s
	if released := r.released; released != nil {
		d := released.ending
		if d.abandon() {
			<-d.stopped
			r.abandoned = d
		} else {
			<-d.done
			if err := s.resumeAll(); err != nil {
				return err
			}
		}
		r.released = nil
		if s.parts.resources.Needs().Carries {
			r.reserve.fill()
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
		s.manifest.finish(false)
		s.leaving.Store(false)
		s.parts.resources.Serve(next.Period)
		d.p.Follow()
		r.begin(next, d.p)
		s.report(s.manager.Send(context.Background(), notify.Status("serving again: the successor failed")))
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	s.report(s.intake.Resumed(ctx, number))
	return nil
}
