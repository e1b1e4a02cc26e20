package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Programs for which the fake has a verdict other than Done.
const (
	badProgram = "/usr/bin/bad"
	newProgram = "/usr/bin/new"
)

var someTime = time.Date(2026, 11, 22, 1, 2, 3, 4000, time.UTC)

// A fake is a Supervisor without generations.
type fake struct {
	reload func(ctx context.Context, r ReloadRequest) (Verdict, error) // instead of its own
	reexec func(ctx context.Context) error
	drain  func() // called by Drain and Undrain

	mu       sync.Mutex
	status   Status
	changed  chan struct{}
	asked    []ReloadRequest
	held     bool
	lameDuck time.Duration // of the last Drain
	err      error         // of the next call, whatever it is
}

var _ Supervisor = (*fake)(nil)

func newFake() *fake {
	return &fake{
		changed: make(chan struct{}),
		status: Status{
			Situation: "serving", PID: 42, Version: "1.2.3", Started: someTime,
			Generations: []Generation{{
				Number: 7, State: "serving", Program: "/usr/bin/app", PID: 43, Started: someTime,
				Version: "app 2.0", Status: "all is well", Carried: 12, CPUUSec: 1_500_000, Memory: 10 << 20,
			}},
		},
	}
}

// change lets f change the status, and tells so.
func (s *fake) change(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
	close(s.changed)
	s.changed = make(chan struct{})
}

// fail makes the next call fail.
func (s *fake) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fake) takeErr() error {
	err := s.err
	s.err = nil
	return err
}

func (s *fake) Reload(ctx context.Context, r ReloadRequest) (Verdict, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	err := s.takeErr()
	s.mu.Unlock()
	if err != nil || s.reload != nil {
		if err != nil {
			return Verdict{}, err
		}
		return s.reload(ctx, r)
	}
	v := Verdict{Action: ActionReload, Outcome: Done, Generation: 8, Time: someTime}
	switch {
	case r.Program == badProgram:
		v.Outcome, v.Reason, v.Output = Undone, "exit status 1", []string{"cannot open the database", "goodbye"}
	case r.Hold:
		v.Outcome = Held
	}
	s.change(func(st *Status) { st.LastVerdict, s.held = &v, v.Outcome == Held })
	return v, nil
}

func (s *fake) end(action Action) (Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.takeErr(); err != nil {
		return Verdict{}, err
	}
	if !s.held {
		return Verdict{}, ErrNotHeld
	}
	s.held = false
	return Verdict{Action: action, Outcome: Done, Generation: 8, Time: someTime}, nil
}

func (s *fake) Commit(context.Context) (Verdict, error) { return s.end(ActionCommit) }
func (s *fake) Abort(context.Context) (Verdict, error)  { return s.end(ActionAbort) }

func (s *fake) Drain(_ context.Context, lameDuck time.Duration) (Verdict, error) {
	if s.drain != nil {
		s.drain()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lameDuck = lameDuck
	return Verdict{Action: ActionDrain, Outcome: Done, Time: someTime}, s.takeErr()
}

func (s *fake) Undrain(context.Context) (Verdict, error) {
	if s.drain != nil {
		s.drain()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Verdict{Action: ActionUndrain, Outcome: Done, Time: someTime}, s.takeErr()
}

func (s *fake) Reexec(ctx context.Context) error {
	if s.reexec != nil {
		return s.reexec(ctx)
	}
	return errors.New("the newest handoffd cannot be run")
}

func (s *fake) Status(context.Context) (Status, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Generations = slices.Clone(st.Generations)
	return st, s.changed, s.takeErr()
}

// requests returns what it was asked to reload.
func (s *fake) requests() []ReloadRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}
