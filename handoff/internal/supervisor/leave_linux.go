package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
)

// A stage is how far the service has left a load balancer's rotation.
type stage int

const (
	stageIn      stage = iota
	stageLeaving       // clients that come now wait, or are still served
	stageEnding        // nobody waits any more: the generations were told to end
	stageOut           // there is no generation, and clients are refused
)

func (st stage) String() string {
	return [...]string{"", "leaving the rotation", "leaving the rotation", "out of the rotation"}[st]
}

// errAway refuses what a service that is not in the rotation cannot do.
var errAway = errors.New("the service is out of the rotation, or on its way; handoffd undrain brings it back")

// emptyTimeout bounds the wait for clients that are let in already. A handshake
// whose last segment was lost takes longer.
const emptyTimeout = 10 * time.Second

// holdTimeout is how long a caller of Drain may take to do what this process may not.
const holdTimeout = 5 * time.Second

// shutAfter is how long generations that were told to end get to close their
// listeners, before those are shut under them.
const shutAfter = time.Second

// A leave is the service's way out of the rotation and back.
type leave struct {
	stage  stage
	cancel context.CancelCauseFunc // ends stageLeaving
	reason string                  // why the last one was undone
}

// errStays is why a leave ends that is not wanted any more.
var errStays = errors.New("the service is to stay")

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
		case s.leave.stage != stageIn:
		case situation != generation.ServiceServing:
			refused = fmt.Sprintf("the service is %v; want it serving, and no reload under way or held", situation)
		default:
			s.startLeave(lameDuck)
		}
		return nil
	})
	if err != nil || refused != "" {
		return verdictOf(generation.Refused, refused), err
	}
	return s.await(ctx, func() (r Result, done bool) {
		switch s.leave.stage {
		case stageIn:
			return verdictOf(generation.Undone, s.leave.reason), true
		case stageOut:
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
		switch s.leave.stage {
		case stageIn:
			s.reopen() // a caller of Drain may have held a listener too late
		case stageLeaving:
			s.leave.cancel(errStays)
		case stageEnding:
			refused = "the generations end; try again when the service is out"
		case stageOut:
			s.comeBack()
		}
		return nil
	})
	if err != nil || refused != "" {
		return verdictOf(generation.Refused, refused), err
	}
	return s.await(ctx, func() (Result, bool) {
		return verdictOf(generation.Done, ""), s.leave.stage == stageIn && s.machine.serves()
	})
}

func (s *Supervisor) startLeave(lameDuck time.Duration) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s.leave = leave{stage: stageLeaving, cancel: cancel}
	s.tellRotation(true)
	s.change()
	s.beside.Go(func() {
		err := s.empty(ctx, lameDuck)
		s.post(func() {
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				s.stay(err)
				return
			}
			s.leave.stage = stageEnding
			s.feed(generation.Stop{})
			s.beside.Go(func() {
				select {
				case <-time.After(shutAfter):
					s.post(s.shut)
				case <-s.ended:
				}
			})
		})
	})
}

// empty lets no new client in, and waits until there is none whose handshake is under
// way or who waits to be accepted.
func (s *Supervisor) empty(ctx context.Context, lameDuck time.Duration) error {
	select {
	case <-time.After(lameDuck):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var held []syscall.Conn
	for _, l := range s.tcp() {
		if err := hold(ctx, l); err != nil {
			return fmt.Errorf("socket %q: %w", l.Name(), err)
		}
		held = append(held, l)
	}
	waiting, cancel := context.WithTimeout(ctx, emptyTimeout)
	defer cancel()
	err := rotation.Settled(waiting, held...)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("the service leaves the rotation, and not every client was served", "error", err)
		return nil
	}
	return err
}

// hold has a listener drop new clients. Where this process may not do that it waits
// for the caller of Drain, who may.
func hold(ctx context.Context, l *os.File) error {
	err := rotation.Hold(l)
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(holdTimeout)
	for !rotation.Held(l) {
		select {
		case <-ticks.C:
		case <-deadline:
			return fmt.Errorf("%w: the kernel wants CAP_NET_ADMIN for it: run handoffd drain as root, or give the service that capability", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// tcp returns the sockets that can leave. The rest are sockets of this machine's own
// clients, and go on queueing them.
func (s *Supervisor) tcp() []*os.File {
	var list []*os.File
	for _, f := range s.sockets {
		if rotation.Applies(f.File) {
			list = append(list, f.File)
		}
	}
	return list
}

// stay undoes a leave.
func (s *Supervisor) stay(why error) {
	if s.leave.stage != stageLeaving {
		return
	}
	s.leave = leave{reason: why.Error()}
	s.reopen()
	s.tellRotation(false)
	s.change()
}

// shut refuses clients, where the service is about to be out.
func (s *Supervisor) shut() {
	if s.leave.stage != stageEnding {
		return
	}
	for _, l := range s.tcp() {
		s.logOf(rotation.Shut(l), 0, "a listener could not be shut")
	}
}

// wentOut is called when the last generation is gone.
func (s *Supervisor) wentOut() {
	s.shut()
	s.leave.stage = stageOut
	s.log.Info("the service is out of the rotation", "handoff_event", "drained")
	s.manager.Say("out of the rotation; handoffd undrain brings it back")
}

func (s *Supervisor) comeBack() {
	s.reopen()
	s.leave = leave{}
	s.machine.renew(s.o.Limits)
	s.feed(generation.Start{Last: s.memory.last[lastGeneration]})
}

// reopen has the listeners listen: after a leave, and before this process hands them
// back, or at the start, to undo one of a process that was killed.
func (s *Supervisor) reopen() {
	for _, l := range s.tcp() {
		s.logOf(rotation.Open(l), 0, "a listener does not listen")
	}
}

// stopWhileAway is Stop where the service is out, or on its way.
func (s *Supervisor) stopWhileAway() {
	switch s.leave.stage {
	case stageLeaving:
		s.leave.cancel(errStays)
	case stageEnding:
		s.leave.stage = stageIn // the end of the generations is that of the service now
		s.manager.Stopping()
	case stageOut:
		s.manager.Stopping()
		s.exit = &generation.Exit{}
	}
}

// tellRotation tells the generations that they leave, or stay.
func (s *Supervisor) tellRotation(away bool) {
	for _, p := range s.instances {
		ctx, cancel := context.WithTimeout(context.Background(), deliverTimeout)
		s.logOf(p.deliverer.Quiesce(ctx, away), p.number, "the generation could not be told of the rotation")
		cancel()
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
	if s.exit == nil || s.exit.Reason == "" {
		return ErrEnded
	}
	return fmt.Errorf("%w: %s", ErrEnded, s.exit.Reason)
}

func verdictOf(outcome generation.Outcome, reason string) Result {
	return Result{Verdict: generation.Verdict{Outcome: outcome, Reason: reason}, Time: time.Now()}
}
