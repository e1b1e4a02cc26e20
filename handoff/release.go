package handoff

import (
	"context"
	"errors"
	"fmt"

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
			if err := s.resumeStates(); err != nil {
				return err
			}
		}
		r.released = nil
		if s.carries() {
			r.reserve.fill()
		}
		r.tasks.Go(func() {
			<-d.done
			s.count(d.e)
			for _, err := range d.errs {
				s.report(err)
			}
		})
		next := d.e.again()
		s.mu.Lock()
		s.epoch.Store(next)
		s.mu.Unlock()
		s.manifest.finish(false)
		s.leaving.Store(false)
		next.serve()
		close(d.e.followed)
		r.begin(next, d.e)
		s.report(s.manager.Send(context.Background(), notify.Status("serving again: the successor failed")))
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	s.report(s.intake.Resumed(ctx, number))
	return nil
}

// resumeStates goes on with the states that were saved.
func (s *Service) resumeStates() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.o.DrainTimeout)
	defer cancel()
	var errs []error
	for _, st := range s.states {
		if !st.saved {
			continue
		}
		st.saved = false
		st.loaded.Store(true) // what comes back of it is no news
		st.kept.Store(true)
		// A later successor must not find it before what will be saved for it.
		if st.parcel != "" {
			s.report(s.store.remove(ctx, st.parcel))
		}
		if st.Resume == nil {
			continue
		}
		if err := within(ctx, st.Resume); err != nil {
			errs = append(errs, fmt.Errorf("handoff: resume state %q: %w", st.name, err))
		}
	}
	s.report(s.manager.Barrier(ctx))
	return errors.Join(errs...)
}
