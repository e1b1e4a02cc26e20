package handoff

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// saved are the resources that were saved since the service last began to serve, and the
// name of the parcel of each in the store; "" where that failed.
type saved map[resource.Saver]string

// saveAll leaves what is saved for the next generation: each in a parcel of its own, which
// a generation that cannot read it leaves as it is. One that takes all its time does not
// take that of the others.
func (r *run) saveAll(ctx context.Context) error {
	s := r.s
	var errs []error
	r.handover.saved = make(saved)
	for _, what := range s.parts.resources.Savers() {
		name, saved, err := s.save(ctx, what)
		if saved {
			r.handover.saved[what] = name
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("handoff: save %v: %w: %w", what, ErrLost, err))
		}
	}
	return errors.Join(errs...)
}

// save saves one thing, and returns the name of its parcel, "" if there is none. saved is
// false where it was not this generation's to save.
func (s *Service) save(ctx context.Context, what resource.Saver) (name string, saved bool, err error) {
	type result struct {
		e  parcel.Entry
		ok bool
	}
	results := make(chan result, 1)
	saving, cancel := context.WithTimeout(ctx, s.o.DrainTimeout)
	defer cancel()
	err = resource.Within(saving, func(ctx context.Context) error {
		e, ok, err := what.Save(ctx)
		results <- result{e, ok}
		return err
	})
	if err != nil {
		return "", true, err
	}
	got := <-results
	if !got.ok {
		return "", false, nil
	}
	name = protocol.UniqueName(protocol.ParcelPrefix)
	ctx, cancel = context.WithTimeout(ctx, fdstore.EndTimeout)
	defer cancel()
	if err := s.store.Leave(ctx, name, 0, got.e); err != nil {
		return name, true, err
	}
	s.env.Report.Count.StatesOut.Add(1)
	return name, true, nil
}

// resumeAll goes on with what was saved. Until all of it has resumed it stays in the
// store: if something fails, this generation ends without saving anew, and what was saved
// is the next generation's.
func (r *run) resumeAll(ctx context.Context) error {
	s := r.s
	resuming, cancel := context.WithTimeout(ctx, s.o.DrainTimeout)
	defer cancel()
	var errs []error
	for what := range r.handover.saved {
		if err := resource.Within(resuming, what.Resume); err != nil {
			errs = append(errs, fmt.Errorf("handoff: resume %v: %w", what, err))
		}
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.o.DrainTimeout)
	defer cancel()
	for _, name := range r.handover.saved {
		// A later successor must not find it before what will be saved for it.
		if name != "" {
			s.report(s.store.Remove(ctx, name))
		}
	}
	r.handover.saved = nil
	s.report(s.manager.Barrier(ctx))
	return nil
}
