package supervisor

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A Result is what became of something that was asked for.
type Result struct {
	generation.Verdict
	Output   []string // the last lines of a generation that was undone
	Time     time.Time
	Stopping bool // it is what it is because the service stops
}

// What a Result's Outcome may be.
const (
	Done    = generation.Done
	Held    = generation.Held    // it waits for Commit or Abort
	Undone  = generation.Undone  // the service is as before
	Refused = generation.Refused // nothing was started
)

// An Exit is how the service ended.
type Exit struct {
	Status generation.ExitStatus // of the generation to which the end is due
	Reason string                // why it was given up; "": a stop was asked
	stop   syscall.Signal
}

// Code is the status to exit with: that of the generation, 128 and the number
// where a signal ended it. A generation that the stop signal ended, as asked, has
// ended well, as with systemd.
func (e Exit) Code() int {
	switch sig := syscall.Signal(e.Status.Signal); {
	case sig == 0:
		return e.Status.Code
	case e.Reason == "" && (sig == e.stop || sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGHUP || sig == syscall.SIGPIPE):
		return 0
	}
	return 128 + e.Status.Signal
}

// A Call lets the wait for an answer go on when this program has been replaced
// meanwhile. The zero value is a call that ends with this program.
type Call struct {
	// Number is what Begun was given in the program before; 0: it was not.
	Number uint64
	// Begun is called when that is asked what there is to ask; nil is not at all.
	Begun func(number uint64)
}

// A ReloadRequest says what to reload.
type ReloadRequest struct {
	Call    Call
	Hold    bool   // let both generations accept until Commit or Abort
	DryRun  bool   // undo the successor when it is ready
	Program string // in place of the configured one; "" is that
}

// Reload starts a successor and returns when it serves, is held, or was undone. It
// goes on if ctx ends first. The program is looked up in PATH.
func (s *Supervisor) Reload(ctx context.Context, r ReloadRequest) (Result, error) {
	return s.ask(ctx, r.Call, func(caller uint64) generation.Event {
		return generation.Reload{Caller: caller, Hold: r.Hold, DryRun: r.DryRun, Program: r.Program}
	})
}

// Commit makes a held successor the service.
func (s *Supervisor) Commit(ctx context.Context, c Call) (Result, error) {
	return s.ask(ctx, c, func(caller uint64) generation.Event { return generation.Commit{Caller: caller} })
}

// Abort undoes a successor that is not committed.
func (s *Supervisor) Abort(ctx context.Context, c Call) (Result, error) {
	return s.ask(ctx, c, func(caller uint64) generation.Event { return generation.Abort{Caller: caller} })
}

// Stop asks for the end of the service, and does not wait for it.
func (s *Supervisor) Stop() {
	s.post(func() {
		s.stopWhileAway()
		s.manager.ExtendAnew() // feed does: the manager knows of no time that was asked for before it waits
		s.feed(generation.Stop{})
	})
}

// Hurry cuts the drain of a service that stops short. Without a Stop before it
// nothing comes of it.
func (s *Supervisor) Hurry() {
	s.post(func() { s.feed(generation.Hurry{}) })
}

// Hangup reloads on behalf of nobody: SIGHUP.
func (s *Supervisor) Hangup() {
	s.post(func() {
		if s.leave.stage != stageIn {
			s.log.Warn("not reloaded", "reason", errAway)
			s.manager.RefuseReload()
			return
		}
		s.feed(generation.Reload{})
	})
}

func (s *Supervisor) ask(ctx context.Context, c Call, event func(caller uint64) generation.Event) (Result, error) {
	var reply chan Result
	caller := c.Number
	err := s.call(func() error {
		if caller != 0 {
			reply = s.requests.waiting[caller]
			return nil
		}
		if s.leave.stage != stageIn {
			reply = make(chan Result, 1)
			reply <- verdictOf(Refused, errAway.Error())
			return nil
		}
		caller, reply = s.requests.add()
		if c.Begun != nil {
			c.Begun(caller)
		}
		s.feed(event(caller))
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	if reply == nil {
		return Result{}, fmt.Errorf("call %d is not known here", caller)
	}
	select {
	case r := <-reply:
		return r, nil
	case <-ctx.Done():
		s.post(func() { s.requests.take(caller) })
		return Result{}, context.Cause(ctx)
	case <-s.ended:
		// The answer may be on its way, behind what the manager is told.
		select {
		case r := <-reply:
			return r, nil
		case <-time.After(time.Second):
			return Result{}, ErrEnded
		}
	}
}

// A Status is the service as it stands.
type Status struct {
	Situation   generation.Situation
	Rotation    string // where it is not in a load balancer's rotation: how far out
	PID         int
	Generations []GenerationStatus // oldest first
	Since       time.Time          // of the start, whatever program it was by then
	Reexecs     uint64             // how often this program was replaced since
	Last        Result             // on the last reload; Outcome is 0 if there was none
	Note        string             // what is not as it could be; "" is nothing
	Stored      int                // descriptors in the store
	StoreLimit  int
}

// A GenerationStatus is one generation as it stands.
type GenerationStatus struct {
	generation.Info
	PID       int // of its main process; 0: none
	Path      string
	Began     time.Time
	Committed bool   // it is, or was, the service
	Text      string // its own STATUS=
	Version   string // as it says itself
	Carried   uint64 // connections that it took over, as it says itself
	Stored    int    // descriptors that it has stored
	Memory    int64  // bytes; -1: not accounted for
	CPUUsec   int64  // -1: not accounted for
}

// Status returns the service as it stands, and a channel that is closed when that
// has changed.
func (s *Supervisor) Status() (status Status, changed <-chan struct{}, err error) {
	err = s.call(func() error {
		status, changed = s.status(), s.changed
		return nil
	})
	return status, changed, err
}

func (s *Supervisor) status() Status {
	status := Status{
		Situation:  s.machine.Situation(),
		Rotation:   s.leave.stage.String(),
		PID:        os.Getpid(),
		Since:      s.since,
		Reexecs:    s.reexecs,
		Last:       s.requests.verdict,
		Note:       s.runner.Describe(),
		Stored:     len(s.store.entries),
		StoreLimit: s.store.limit,
	}
	for _, info := range s.machine.Generations() {
		g := GenerationStatus{Info: info, Memory: -1, CPUUsec: -1}
		if p := s.instances[info.Number]; p != nil {
			g.Path, g.Began, g.Committed, g.Text = p.program, p.began, p.committed, p.text
			g.Version, g.Carried = p.says.Version, p.says.Carried
			g.Stored = s.store.count(info.Number)
			if pid, alive := p.Main(); alive {
				g.PID = pid
			}
			g.Memory, g.CPUUsec = p.Usage()
		}
		status.Generations = append(status.Generations, g)
	}
	return status
}
