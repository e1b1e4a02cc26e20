package supervisor

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/accepting"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/probe"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/internal/vetting"
)

// vet begins to look whether p does what it is there for, if it is held to anything but
// its own word.
func (s *Supervisor) vet(p *instance) {
	c := s.checks(p)
	if len(c.Sockets) == 0 && c.Probe == nil {
		return
	}
	var v *vetting.Vetting
	post := func(f func()) {
		s.post(func() {
			if p.readiness.vetting == vetter(v) { // else it was cancelled meanwhile
				f()
			}
		})
	}
	v = vetting.New(c, vetting.Observer{
		Waiting: func(why string) { post(func() { s.feed(generation.Waiting{Gen: p.number, Why: why}) }) },
		Doubt: func(text string) {
			s.log.Warn("it cannot be seen whether the generation accepts", "generation", p.number, "reason", text)
		},
		Done: func(o vetting.Outcome) { post(func() { s.vetted(p, o) }) },
	})
	p.readiness.vetting = v
	s.vettings.Go(v.Wait)
}

// aliveInstead is for how long a generation must live where it has no socket on which it
// could be seen to accept.
const aliveInstead = time.Second

// ready says when generations are ready, given the sockets that they get.
func (s *Supervisor) ready() Ready {
	if s.o.Ready.mode == readyAccept && len(accepting.Sockets(s.sockets)) == 0 {
		return Ready{mode: readyAlive, after: aliveInstead}
	}
	return s.o.Ready
}

// checks says what p is held to.
func (s *Supervisor) checks(p *instance) vetting.Checks {
	by := p.readiness.by.mode
	c := vetting.Checks{
		Says:         by != readyAccept,
		Patience:     cmp.Or(s.o.AcceptTimeout, DefaultAcceptTimeout),
		Probe:        s.o.Probe,
		ProbeTimeout: cmp.Or(s.o.ProbeTimeout, DefaultProbeTimeout),
		Target:       probe.Target{Listeners: probe.Listeners(s.sockets), Command: s.probeCommand(p)},
	}
	switch {
	case by == readyAccept:
		c.Sockets = accepting.Sockets(s.sockets)
	case by == readyNotify && !s.o.AcceptLater:
		// Without the others: a successor may not read datagrams before the commit.
		c.Sockets = accepting.Listeners(accepting.Sockets(s.sockets))
	}
	if old := s.serving(); old != nil {
		c.Predecessor, c.Known, c.Target.Freeze = old.Processes, old.readiness.accepting, old.Freeze
	}
	return c
}

// serving returns the generation that serves, or nil.
func (s *Supervisor) serving() *instance {
	for _, g := range s.machine.Generations() {
		if g.State == generation.StateServing {
			return s.instances[g.Number]
		}
	}
	return nil
}

// vetted ends the vetting of p.
func (s *Supervisor) vetted(p *instance, o vetting.Outcome) {
	p.readiness.vetting = nil
	p.readiness.accepting, p.readiness.doubt = o.Accepting, o.Doubt
	if r := o.Report; r != (probe.Report{}) {
		s.log.Debug("probed", "generation", p.number, "new", r.New, "old", r.Old, "unknown", r.Unknown, "frozen", r.Frozen, "longest_frozen", r.LongestFrozen)
	}
	if o.Unfit != "" {
		s.feed(generation.Unfit{Gen: p.number, Reason: o.Unfit})
		return
	}
	p.readiness.ready()
}

// probeCommand returns what runs a probe's command, with the variables by which it
// finds the generation.
func (s *Supervisor) probeCommand(p *instance) func(ctx context.Context, command []string) (string, error) {
	env := s.launcher.environ[:len(s.launcher.environ):len(s.launcher.environ)]
	env = append(env, protocol.GenerationEnv+"="+strconv.FormatUint(p.number, 10))
	return func(ctx context.Context, command []string) (string, error) {
		pid := 0
		if err := s.call(func() error { pid, _ = p.Main(); return nil }); err != nil {
			return "", err
		}
		path, err := exec.LookPath(command[0])
		if err != nil {
			return "", err
		}
		cmd := exec.Command(path, command[1:]...)
		cmd.Env = append(env[:len(env):len(env)], "MAINPID="+strconv.Itoa(pid))
		return s.runCommand(ctx, cmd)
	}
}

// runCommand runs cmd until ctx ends, and returns the last line that it wrote.
func (s *Supervisor) runCommand(ctx context.Context, cmd *exec.Cmd) (last string, err error) {
	out, w, err := process.NewOutput(os.Stderr)
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended, err := s.runner.Launch(ctx, cmd)
	w.Close()
	if err != nil {
		return "", err
	}
	select {
	case status := <-ended:
		if status != (generation.ExitStatus{}) {
			err = errors.New(status.String())
		}
	case <-ctx.Done():
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		<-ended
		err = ctx.Err()
	}
	out.Flush()
	if lines := out.Lines(); len(lines) > 0 {
		last = report.Clip(lines[len(lines)-1], maxCommandOutput)
	}
	return last, err
}

// maxCommandOutput bounds, in bytes, what a verdict quotes of a probe's command.
const maxCommandOutput = 300
