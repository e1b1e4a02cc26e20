package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
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
		if p.deliverer != nil {
			p.deliverer.Close()
		}
	}()
	if p.receiver, err = s.receive(e.Gen); err != nil {
		return err
	}
	spec := process.Spec{Number: e.Gen}
	if p.deliverer, spec.Socket, err = parcel.NewDeliverer(); err != nil {
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
	if err := s.command(p, e.Program, &spec); err != nil {
		return err
	}
	mine = nil
	if p.Generation, err = s.runner.Start(spec); err != nil {
		return err
	}
	s.instances[e.Gen] = p
	s.store.Attach(e.Gen, p.deliverer)
	return nil
}

// receive makes the notification socket of a generation. Its folder may be gone, as
// when a unit with the same RuntimeDirectory= was stopped, or full. Then it is made
// anew, or elsewhere: a service must not end for that.
func (s *Supervisor) receive(gen uint64) (*notify.Receiver, error) {
	listen := func(dir string) (*notify.Receiver, error) {
		return notify.Listen(filepath.Join(dir, fmt.Sprintf("notify-%d", gen)))
	}
	r, err := listen(s.runtime)
	if errors.Is(err, fs.ErrNotExist) && os.MkdirAll(s.runtime, 0o711) == nil && os.Chmod(s.runtime, 0o711) == nil {
		r, err = listen(s.runtime)
	}
	if err == nil {
		return r, nil
	}
	dir, dirErr := temporaryDir()
	if dirErr != nil {
		return nil, errors.Join(err, dirErr)
	}
	s.log.Warn("notification sockets are made elsewhere from now on", "folder", dir, "reason", err)
	s.runtime = dir
	return listen(dir)
}

// command looks the program up, and says what it finds in its environment.
func (s *Supervisor) command(p *instance, program string, spec *process.Spec) error {
	if program == "" {
		program = s.o.Program[0]
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return err
	}
	p.program = path
	env := s.environ[:len(s.environ):len(s.environ)]
	if s.o.EnvironmentFile != "" {
		more, err := ReadEnvironment(s.o.EnvironmentFile)
		if err != nil {
			return err
		}
		env = append(env, more...)
	}
	if s.o.EnvDir != "" {
		more, err := ReadEnvDir(s.o.EnvDir)
		if err != nil {
			return err
		}
		env = append(env, more...)
	}
	compat, err := s.o.Compat.environ(s.sockets, p.number, os.Getpid())
	if err != nil {
		return err
	}
	env = append(env, compat...)
	_, limit := s.store.Usage()
	env = append(env,
		"NOTIFY_SOCKET="+p.receiver.Addr(),
		"FDSTORE="+strconv.Itoa(limit),
		protocol.GenerationEnv+"="+strconv.FormatUint(p.number, 10))
	if s.o.Watchdog > 0 && s.o.Ready.mode == readyNotify {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(s.o.Watchdog.Microseconds(), 10), "WATCHDOG_PID=")
	}
	spec.Path, spec.Args, spec.Env = path, append([]string{program}, s.o.Program[1:]...), env
	return nil
}

// started goes on with a generation whose program runs.
func (s *Supervisor) started(p *instance) {
	s.listen(p)
	s.feed(generation.Spawned{Gen: p.number})
	p.readiness.started()
}

// listen hears p from now on.
func (s *Supervisor) listen(p *instance) {
	p.loops = []*loop{
		newLoop(func(ctx context.Context) { s.receiveNotifications(ctx, p) }),
		newLoop(func(ctx context.Context) { s.acknowledge(ctx, p) }),
	}
}

// ExecStep is to be called first in main: see process.ExecStep.
func ExecStep() error { return process.ExecStep() }
