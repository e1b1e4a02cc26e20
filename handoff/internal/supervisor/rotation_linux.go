package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// Drain takes the service out of a load balancer's rotation: programs that know
// HANDOFF_SOCKET are told at once and all others after lameDuck, when no new client
// is let in. Every client that is in is served, and then the generations end. From
// then on clients are refused, and handoffd waits for Undrain. It returns when all of
// that is so, or was undone; that goes on if ctx ends first.
func (s *Supervisor) Drain(ctx context.Context, lameDuck time.Duration) (Result, error) {
	var refused string
	err := s.call(func() error {
		situation := s.machine.Situation()
		switch {
		case s.drain.stage != inRotation:
		case situation != generation.ServiceServing:
			refused = fmt.Sprintf("the service is %v; want it serving, and no reload under way or held", situation)
		default:
			s.drain.start(lameDuck)
		}
		return nil
	})
	if err != nil || refused != "" {
		return verdictOf(generation.Refused, refused), err
	}
	return s.await(ctx, func() (r Result, done bool) {
		switch s.drain.stage {
		case inRotation:
			return verdictOf(generation.Undone, s.drain.reason), true
		case drained:
			return verdictOf(generation.Done, ""), true
		}
		return Result{}, false
	})
}

// Undrain brings the service back into the rotation, and returns when a generation
// serves.
func (s *Supervisor) Undrain(ctx context.Context) (Result, error) {
	var refused string
	err := s.call(func() error {
		switch s.drain.stage {
		case inRotation:
			s.drain.reopen() // a caller of Drain may have held a listener too late
		case leaving:
			s.drain.abandon(errStays)
		case ending:
			refused = "the generations end; try again when the service is out"
		case drained:
			s.undrain()
		}
		return nil
	})
	if err != nil || refused != "" {
		return verdictOf(generation.Refused, refused), err
	}
	return s.await(ctx, func() (Result, bool) {
		return verdictOf(generation.Done, ""), s.drain.stage == inRotation && s.machine.serves()
	})
}

// undrain has a generation serve again, where there is none.
func (s *Supervisor) undrain() {
	s.drain.reopen()
	s.drain.stay()
	s.machine.renew(s.o.Limits)
	s.feed(generation.Start{Last: s.store.LastGeneration()})
}

// drainFinished is called when the last generation is gone.
func (s *Supervisor) drainFinished() {
	s.drain.finish()
	s.manager.Say("out of the rotation; handoffd undrain brings it back")
}

// stopWhileDraining is Stop where the service is out of the rotation, or on its way.
func (s *Supervisor) stopWhileDraining() {
	switch s.drain.stage {
	case leaving:
		s.drain.abandon(errStays)
	case ending:
		s.drain.stay() // the end of the generations is that of the service now
		s.manager.Stopping()
	case drained:
		s.manager.Stopping()
		s.machine.exit = &generation.Exit{}
	}
}

// tellRotation tells the generations that they leave, or stay.
func (s *Supervisor) tellRotation(away bool) {
	for _, p := range s.instances {
		s.logOf(p.orders.quiesce(away), p.number, "the generation could not be told of the rotation")
	}
}

// await calls f, in Run's goroutine, after every change until it is done.
func (s *Supervisor) await(ctx context.Context, f func() (Result, bool)) (r Result, err error) {
	for done := false; ; {
		var changed chan struct{}
		if err := s.call(func() error { r, done = f(); changed = s.changed; return nil }); err != nil {
			return Result{}, s.whyEnded()
		} else if done {
			return r, nil
		}
		select {
		case <-changed:
		case <-s.ended:
			return Result{}, s.whyEnded()
		case <-ctx.Done():
			return Result{}, context.Cause(ctx)
		}
	}
}

// whyEnded is ErrEnded, with the reason where the service has given up. It is called
// once ended is closed.
func (s *Supervisor) whyEnded() error {
	if s.machine.exit == nil || s.machine.exit.Reason == "" {
		return ErrEnded
	}
	return fmt.Errorf("%w: %s", ErrEnded, s.machine.exit.Reason)
}

func verdictOf(outcome generation.Outcome, reason string) Result {
	return Result{Verdict: generation.Verdict{Outcome: outcome, Reason: reason}, Time: time.Now()}
}
