package supervisor

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// defaultStopSignal is what a program expects of systemd.
const defaultStopSignal = syscall.SIGTERM

// spawn starts a generation. What may take long is done apart; Spawned or
// SpawnFailed comes of it.
func (s *Supervisor) spawn(e generation.Spawn) {
	if err := s.prepare(e); err != nil {
		s.feed(generation.SpawnFailed{Gen: e.Gen, Reason: err.Error()})
	}
}

// prepare makes all that a generation needs, and has it started.
func (s *Supervisor) prepare(e generation.Spawn) (err error) {
	if err := s.store.NoteGeneration(e.Gen); err != nil {
		return err
	}
	p := s.newInstance(e.Gen, "", time.Now())
	var mine []*os.File // until the runner has them
	defer func() {
		if err == nil {
			return
		}
		fd.CloseAll(mine)
		if p.receiver != nil {
			p.receiver.Close()
		}
		if p.orders.deliverer != nil {
			p.orders.deliverer.Close()
		}
		p.stopTimers()
	}()
	if p.receiver, err = s.launcher.listen(e.Gen); err != nil {
		return err
	}
	spec := process.Spec{Number: e.Gen}
	if p.orders.deliverer, spec.Socket, err = parcel.NewDeliverer(); err != nil {
		return err
	}
	mine = append(mine, spec.Socket)
	for _, f := range append(s.sockets[:len(s.sockets):len(s.sockets)], s.store.Files(e.Gen, e.Inherit)...) {
		// An entry may be dropped before the child has been made.
		d, err := fd.Duplicate(f.File, f.File.Name())
		if err != nil {
			return err
		}
		mine = append(mine, d)
		spec.Files = append(spec.Files, activation.NamedFile{Name: f.Name, File: d})
	}
	_, limit := s.store.Usage()
	if err := s.launcher.command(&spec, e.Program, p.receiver.Addr(), s.sockets, limit); err != nil {
		return err
	}
	p.program = spec.Path
	s.vet(p)
	mine = nil
	if p.Generation, err = s.runner.Start(spec); err != nil {
		return err
	}
	s.instances[e.Gen] = p
	s.store.Attach(e.Gen, p.orders.deliverer)
	return nil
}

// started goes on with a generation whose program runs.
func (s *Supervisor) started(p *instance) {
	s.listen(p)
	s.feed(generation.Spawned{Gen: p.number})
	p.readiness.started(p.Processes)
}

// listen hears p from now on.
func (s *Supervisor) listen(p *instance) {
	p.loops = []*loop{
		newLoop(func(ctx context.Context) { s.receiveNotifications(ctx, p) }),
		newLoop(func(ctx context.Context) { s.receiveReplies(ctx, p) }),
	}
}

// ExecStep is to be called first in main: see process.ExecStep.
func ExecStep() error { return process.ExecStep() }
