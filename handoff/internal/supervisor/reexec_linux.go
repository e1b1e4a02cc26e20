package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
)

// ErrReexecuting: this program is being replaced already.
var ErrReexecuting = errors.New("handoffd is being replaced already")

// An Image is the program that takes the place of this one, in the same process.
type Image struct {
	Path string
	Args []string
	// Keep returns what it gets besides: see Successor. It is called twice: before the
	// new program is tried, and, when nothing happens any more, before it is executed.
	// pending are the numbers of the calls that have no answer yet.
	Keep func(pending []uint64) (Kept, error)
	// Deafen lets signals wait for the new program, and returns once those before
	// have been passed on to the supervisor; listen takes that back.
	Deafen func() (listen func())
}

// A TrialError says why a program cannot take the place of this one.
type TrialError = reexec.TrialError

// Kept is what a program leaves to the next one besides the supervisor's state. The
// supervisor closes the files, and calls Release, if it is not nil, when this
// program goes on.
type Kept struct {
	Data    []byte
	Files   []*os.File
	Release func()
}

const (
	busyTimeout = 30 * time.Second // for a start that is under way
	tellTimeout = 5 * time.Second  // for the manager to read what it is told
)

// Reexec replaces this program in place: generations, what they have stored, timers
// and calls go on. It returns only if that failed, or ctx ended, and then all is as
// before. The new program is first tried as a child: one that cannot go on with the
// state of this one is a *TrialError. ErrEnded says that the service stops, and
// ErrReexecuting that this is under way already.
func (s *Supervisor) Reexec(ctx context.Context, i Image) error {
	if !s.history.replacing.TryLock() {
		return ErrReexecuting
	}
	defer s.history.replacing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	err := s.whenIdle(ctx, func() error { return s.try(ctx, i) })
	if err == nil {
		err = s.whenIdle(ctx, func() error { return s.replace(ctx, i) })
	}
	return fmt.Errorf("reexec: %w", err)
}

// A busyError says what must be over before the state can be passed on.
type busyError struct {
	reason  string
	changed <-chan struct{} // closed when it may be
}

func (e *busyError) Error() string { return e.reason }

// whenIdle calls f again until it does not return a busyError.
func (s *Supervisor) whenIdle(ctx context.Context, f func() error) error {
	for {
		err := f()
		busy, ok := errors.AsType[*busyError](err)
		if !ok {
			return err
		}
		select {
		case <-busy.changed:
		case <-s.ended:
			return ErrEnded
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", busy, context.Cause(ctx))
		}
	}
}

// replace executes the new program. From the moment on in which the state is taken
// nothing must be under way that is not in it.
func (s *Supervisor) replace(ctx context.Context, i Image) error {
	// What would take its time is over before signals have to wait.
	var told <-chan struct{}
	err := s.call(func() error {
		told = s.manager.Mark()
		return s.unfit()
	})
	if err == nil {
		err = awaitTold(told)
	}
	if err != nil {
		return err
	}
	// Until signals are heard again: a generation would inherit that they are ignored.
	resume, err := s.runner.Halt(ctx)
	if err != nil {
		return err
	}
	defer resume()
	listen := i.Deafen()
	defer func() {
		listen()
		s.post(s.manager.Repeat) // as after the replacement: a SIGHUP may be lost
	}()
	var hearing []*loop
	err = s.call(func() error {
		for _, p := range s.instances {
			hearing = append(hearing, p.loops...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, l := range hearing {
		defer l.resume()
		l.halt()
	}
	return s.call(func() error {
		if err := s.unfit(); err != nil {
			return err
		}
		return s.execute(i)
	})
}

// awaitTold waits for what Manager.Mark has returned.
func awaitTold(told <-chan struct{}) error {
	select {
	case <-told:
		return nil
	case <-time.After(tellTimeout):
		return manager.ErrDeaf
	}
}

// execute returns only if it fails.
func (s *Supervisor) execute(i Image) error {
	if err := awaitTold(s.manager.Mark()); err != nil {
		return err
	}
	files := new(reexec.Files)
	defer files.Close()
	st, err := s.snapshot(files)
	if err != nil {
		return err
	}
	kept, err := i.Keep(st.Callers)
	defer kept.release()
	st.keep(kept, files)
	if err != nil {
		return err
	}
	s.log.Info("replacing this program", "program", i.Path)
	return reexec.Replace(reexec.Program{Path: i.Path, Args: i.Args}, st, files, append(os.Environ(), s.manager.Environ()...))
}

// try has the new program read the state as a child. One that could not go on is a
// *TrialError.
func (s *Supervisor) try(ctx context.Context, i Image) error {
	files := new(reexec.Files)
	defer files.Close()
	var st *state
	err := s.call(func() (err error) {
		st, err = s.snapshot(files)
		return err
	})
	if err != nil {
		return err
	}
	kept, err := i.Keep(st.Callers)
	kept.release()
	st.keep(kept, files)
	if err != nil {
		return err
	}
	// Run waits for the end of the child.
	ctx, cancel := s.untilEnded(ctx)
	defer cancel()
	// It must have no way to speak for the service.
	version, err := reexec.Try(ctx, s.runner, reexec.Program{Path: i.Path, Args: i.Args}, st, files, without(os.Environ(), "RUNTIME_DIRECTORY"))
	switch {
	case errors.Is(context.Cause(ctx), ErrEnded):
		return ErrEnded
	case err == nil:
		s.log.Debug("the new program can take over", "program", i.Path, "version", version)
	}
	return err
}

func (k Kept) release() {
	if k.Release != nil {
		k.Release()
	}
}

// unfit says why this program cannot be replaced now.
func (s *Supervisor) unfit() error {
	if s.drain.stage != inRotation {
		return errDrained
	}
	switch s.machine.Situation() {
	case generation.ServiceNew:
		return errors.New("the service has not started")
	case generation.ServiceStopping, generation.ServiceStopped:
		return ErrEnded
	}
	if !s.manager.Known() {
		return &busyError{"the manager does not say whether it keeps descriptors", s.manager.Probed()}
	}
	if s.stops.busy() {
		return &busyError{"a generation is being told to stop", s.changed}
	}
	for _, p := range s.instances {
		if p.isStarting() {
			return &busyError{fmt.Sprintf("generation %d is being started", p.number), s.changed}
		}
	}
	return nil
}
