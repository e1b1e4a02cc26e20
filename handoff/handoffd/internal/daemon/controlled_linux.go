package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

// controlled is the supervisor as the control interface wants it.
type controlled struct {
	s       *supervisor.Supervisor
	r       *replacement
	version string
}

var _ control.Supervisor = controlled{}

func (c controlled) Reload(ctx context.Context, r control.ReloadRequest) (control.Verdict, error) {
	result, err := c.s.Reload(ctx, supervisor.ReloadRequest{Call: call(ctx), Hold: r.Hold, DryRun: r.DryRun, Program: r.Program})
	if err == nil && result.Stopping && result.Outcome != supervisor.Done {
		err = fmt.Errorf("%w: generation %d is undone", control.ErrStopping, result.Gen)
	}
	return verdict(control.ActionReload, result), stopping(err)
}

func (c controlled) Commit(ctx context.Context) (control.Verdict, error) {
	result, err := c.s.Commit(ctx, call(ctx))
	return held(control.ActionCommit, result, stopping(err))
}

func (c controlled) Abort(ctx context.Context) (control.Verdict, error) {
	result, err := c.s.Abort(ctx, call(ctx))
	return held(control.ActionAbort, result, stopping(err))
}

// Reexec goes on when the client has gone.
func (c controlled) Reexec(ctx context.Context) error {
	err := c.r.reexec(context.WithoutCancel(ctx))
	if trial, ok := errors.AsType[*supervisor.TrialError](err); ok {
		return &control.UndoneError{Reason: err.Error(), Output: trial.Output}
	}
	if errors.Is(err, supervisor.ErrReexecuting) {
		return fmt.Errorf("%w: %w", control.ErrRefused, err)
	}
	return stopping(err)
}

// call lets a call outlive this program.
func call(ctx context.Context) supervisor.Call {
	c := control.CallOf(ctx)
	return supervisor.Call{Number: c.Number(), Begun: c.Begun}
}

func (c controlled) Drain(ctx context.Context, lameDuck time.Duration) (control.Verdict, error) {
	result, err := c.s.Drain(ctx, lameDuck)
	return verdict(control.ActionDrain, result), stopping(err)
}

func (c controlled) Undrain(ctx context.Context) (control.Verdict, error) {
	result, err := c.s.Undrain(ctx)
	return verdict(control.ActionUndrain, result), stopping(err)
}

// stopping is the error of a supervisor that takes no requests any more.
func stopping(err error) error {
	if errors.Is(err, supervisor.ErrEnded) {
		return fmt.Errorf("%w: %w", control.ErrStopping, err)
	}
	return err
}

// held is the verdict on a commit or an abort: there is nothing else to refuse them
// for than that no successor waits.
func held(a control.Action, r supervisor.Result, err error) (control.Verdict, error) {
	if err == nil && r.Outcome == supervisor.Refused {
		err = fmt.Errorf("%w: %s", control.ErrNotHeld, r.Reason)
	}
	return verdict(a, r), err
}

func verdict(a control.Action, r supervisor.Result) control.Verdict {
	v := control.Verdict{Action: a, Generation: r.Gen, Reason: r.Reason, Output: r.Output, Time: r.Time}
	switch r.Outcome {
	case supervisor.Done:
		v.Outcome = control.Done
	case supervisor.Held:
		v.Outcome = control.Held
	case supervisor.Undone:
		v.Outcome = control.Undone
	case supervisor.Refused:
		v.Outcome = control.Refused
	}
	return v
}

func (c controlled) Status(context.Context) (control.Status, <-chan struct{}, error) {
	s, changed, err := c.s.Status()
	if err != nil {
		return control.Status{}, nil, stopping(err)
	}
	return status(s, c.version), changed, nil
}

// status translates how the service is into what the control interface tells of it.
func status(s supervisor.Status, version string) control.Status {
	status := control.Status{
		Situation: cmp.Or(s.Rotation, s.Situation.String()),
		PID:       s.PID,
		Version:   version,
		Started:   s.Since,
		Reexecs:   s.Reexecs,
		Down:      s.Down,
		Output:    s.Words,
		Notes:     s.Notes,
	}
	for _, g := range s.Generations {
		status.Generations = append(status.Generations, control.Generation{
			Number:  g.Number,
			State:   g.State.String(),
			Program: g.Path,
			PID:     g.PID,
			Started: g.Began,
			Version: g.Version,
			Status:  g.Text,
			Carried: g.Carried,
			CPUUSec: uint64(max(g.CPUUsec, 0)),
			Memory:  uint64(max(g.Memory, 0)),
		})
	}
	if s.Last.Outcome != 0 {
		v := verdict(control.ActionReload, s.Last)
		status.LastVerdict = &v
	}
	return status
}
