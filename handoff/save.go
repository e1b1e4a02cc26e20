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
func (s *Service) saveAll(ctx context.Context) error {
	var errs []error
	s.saved = make(saved)
	for _, r := range s.parts.resources.Savers() {
		if err := s.save(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("handoff: save %v: %w: %w", r, ErrLost, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Service) save(ctx context.Context, r resource.Saver) error {
	type result struct {
		e  parcel.Entry
		ok bool
	}
	saved := make(chan result, 1)
	saving, cancel := context.WithTimeout(ctx, s.o.DrainTimeout)
	defer cancel()
	err := resource.Within(saving, func(ctx context.Context) error {
		e, ok, err := r.Save(ctx)
		saved <- result{e, ok}
		return err
	})
	if err != nil {
		s.saved[r] = ""
		return err
	}
	got := <-saved
	if !got.ok {
		return nil
	}
	name := protocol.UniqueName(protocol.ParcelPrefix)
	s.saved[r] = name
	ctx, cancel = context.WithTimeout(ctx, fdstore.EndTimeout)
	defer cancel()
	if err := s.store.Leave(ctx, name, 0, got.e); err != nil {
		return err
	}
	s.env.Report.Count.StatesOut.Add(1)
	return nil
}

// resumeAll goes on with what was saved. Until all of it has resumed it stays in the
// store: if something fails, this generation ends without saving anew, and what was saved
// is the next generation's.
func (s *Service) resumeAll(ctx context.Context) error {
	resuming, cancel := context.WithTimeout(ctx, s.o.DrainTimeout)
	defer cancel()
	var errs []error
	for r := range s.saved {
		if err := resource.Within(resuming, r.Resume); err != nil {
			errs = append(errs, fmt.Errorf("handoff: resume %v: %w", r, err))
		}
	}
	if errs != nil {
		return errors.Join(errs...)
	}
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.o.DrainTimeout)
	defer cancel()
	for _, name := range s.saved {
		// A later successor must not find it before what will be saved for it.
		if name != "" {
			s.report(s.store.Remove(ctx, name))
		}
	}
	s.saved = nil
	s.report(s.manager.Barrier(ctx))
	return nil
}
