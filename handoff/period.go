package handoff

import (
	"context"

	"github.com/holdfast-go/holdfast/handoff/internal/resource"
)

// A period is a time in which the service serves, with what takes over what comes in it.
type period struct {
	*resource.Period
	reading task // takes over what comes
}

// enter makes p the present period.
func (s *Service) enter(p *period) {
	s.period.Store(p)
	s.env.Enter(p.Period)
}

// begin starts what goes on beside the servers, each thing when the period before, if
// there is one, has done with it.
func (r *run) begin(p, before *period) {
	s := r.s
	sendsOn := func() bool { return p.Out() != nil }
	read := func(ctx context.Context) error { return r.takeover.Run(ctx, sendsOn) }
	if before == nil {
		s.parts.resources.Begin(&s.env, p.Period, nil)
	} else {
		s.parts.resources.Begin(&s.env, p.Period, before.Period)
		read = func(ctx context.Context) error {
			if !before.reading.over(ctx) {
				return nil
			}
			return r.takeover.Run(ctx, sendsOn)
		}
	}
	p.reading = r.spawn(read)
}

// over waits until t has ended, or ctx, and reports whether it was t.
func (t task) over(ctx context.Context) bool {
	select {
	case <-t.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// resumable reports whether another period can follow: not where a server cannot be made
// anew, or a listener cannot stop accepting without being closed, or is the program's to
// accept from.
func (s *Service) resumable() bool {
	needs := s.parts.resources.Needs()
	return s.intake != nil && s.store.Available() && !needs.Fixed && needs.Listeners == len(s.parts.names)
}
