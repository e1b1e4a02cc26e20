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
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// defaultStopSignal is what a program expects of systemd.
const defaultStopSignal = syscall.SIGTERM

// spawn starts a generation. What may take long is done apart; Spawned or
// SpawnFailed comes of it.
func (s *Supervisor) spawn(e generation.Spawn) {
	p := &process{number: e.Gen, watch: -1, began: time.Now()}
	s.processes[e.Gen] = p
	start, err := s.prepare(p, e)
	if err != nil {
		s.feed(generation.SpawnFailed{Gen: e.Gen, Reason: err.Error()})
		return
	}
	go func() {
		// Run's goroutine hears of the start before it can hear of the end.
		err := s.children.start(func() error {
			err := start()
			if err == nil {
				s.post(func() { s.started(p) })
			}
			return err
		})
		if err != nil {
			s.post(func() { s.feed(generation.SpawnFailed{Gen: e.Gen, Reason: err.Error()}) })
		}
	}()
}

// prepare makes all that a generation needs, and returns what starts it.
func (s *Supervisor) prepare(p *process, e generation.Spawn) (start func() error, err error) {
	if err := s.remember(e.Gen); err != nil {
		return nil, err
	}
	var mine []*os.File // to be closed once the child has its own
	closeMine := func() {
		for _, f := range mine {
			f.Close()
		}
	}
	defer func() {
		if err != nil {
			closeMine()
		}
	}()
	var stderr *os.File
	if p.out, stderr, err = newOutput(os.Stderr); err != nil {
		return nil, err
	}
	mine = append(mine, stderr)
	if p.receiver, err = s.receive(e.Gen); err != nil {
		return nil, err
	}
	var child *os.File
	if p.deliverer, child, err = parcel.NewDeliverer(); err != nil {
		return nil, err
	}
	mine = append(mine, child)

	var files []activation.NamedFile
	for _, f := range append(s.sockets[:len(s.sockets):len(s.sockets)], s.store.inherit(e.Gen, e.Inherit)...) {
		// An entry may be dropped before the child has been made.
		d, err := fd.Duplicate(f.File, f.File.Name())
		if err != nil {
			return nil, err
		}
		mine = append(mine, d)
		files = append(files, activation.NamedFile{Name: f.Name, File: d})
	}
	cmd, err := s.command(p, e.Program)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = stderr
	cmd.ExtraFiles = []*os.File{child}
	cmd.Env = append(cmd.Env, "HANDOFF_SOCKET="+strconv.Itoa(3+len(files)))
	group, err := s.group(p, cmd)
	if err != nil {
		return nil, err
	}
	if group != nil {
		mine = append(mine, group)
	}
	p.cmd = cmd
	return func() error {
		defer closeMine()
		return activation.Start(context.Background(), cmd, files...)
	}, nil
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
func (s *Supervisor) command(p *process, program string) (*exec.Cmd, error) {
	if program == "" {
		program = s.o.Program[0]
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, err
	}
	p.program = path
	env := s.environ[:len(s.environ):len(s.environ)]
	if s.o.EnvironmentFile != "" {
		more, err := ReadEnvironment(s.o.EnvironmentFile)
		if err != nil {
			return nil, err
		}
		env = append(env, more...)
	}
	if s.o.EnvDir != "" {
		more, err := ReadEnvDir(s.o.EnvDir)
		if err != nil {
			return nil, err
		}
		env = append(env, more...)
	}
	compat, err := s.o.Compat.environ(s.sockets, p.number, os.Getpid())
	if err != nil {
		return nil, err
	}
	env = append(env, compat...)
	env = append(env,
		"NOTIFY_SOCKET="+p.receiver.Addr(),
		"FDSTORE="+strconv.Itoa(s.store.limit),
		protocol.GenerationEnv+"="+strconv.FormatUint(p.number, 10))
	if s.o.Watchdog > 0 && s.o.Ready.mode == readyNotify {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(s.o.Watchdog.Microseconds(), 10), "WATCHDOG_PID=")
	}
	cmd := exec.Command(path, s.o.Program[1:]...)
	cmd.Args[0] = program
	cmd.Stdout = os.Stdout
	cmd.Env = env
	return cmd, nil
}

// group keeps the generation's processes together. All have a process group, so
// that a key at the terminal ends none of them behind this process's back. What it
// returns, if anything, must stay open until cmd has been started.
func (s *Supervisor) group(p *process, cmd *exec.Cmd) (*os.File, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.cgroups == nil {
		return nil, nil
	}
	g, err := s.cgroups.create(p.number)
	if err != nil {
		return nil, err
	}
	p.cgroup = g
	if p.watch, err = s.watch.add(g); err != nil {
		return nil, err
	}
	if !s.cgroups.clones {
		cmd.Env = append(cmd.Env, envCgroup+"="+g.dir)
		return nil, nil
	}
	dir, err := os.Open(g.dir)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return dir, nil
}

// started goes on with a generation whose program runs.
func (s *Supervisor) started(p *process) {
	p.main, p.pid, p.pgid = p.cmd.Process, p.cmd.Process.Pid, p.cmd.Process.Pid
	p.cmd = nil
	if s.processes[p.number] != p {
		// It took so long to make it that it had been given up.
		s.logOf(p.kill(), p.number, "the generation could not be killed")
		return
	}
	s.listen(p)
	s.feed(generation.Spawned{Gen: p.number})
	switch s.o.Ready.mode {
	case readyExec:
		s.feed(generation.Ready{Gen: p.number})
	case readyAlive:
		p.alive = time.Now().Add(s.o.Ready.after)
		s.awaitAlive(p)
	}
}

// listen hears p from now on.
func (s *Supervisor) listen(p *process) {
	p.loops = []*loop{
		newLoop(func(ctx context.Context) { s.hear(ctx, p) }),
		newLoop(func(ctx context.Context) { s.acknowledge(ctx, p) }),
	}
}

// awaitAlive takes p for ready when it has lived long enough.
func (s *Supervisor) awaitAlive(p *process) {
	p.timer = time.AfterFunc(time.Until(p.alive), func() {
		s.post(func() {
			if !p.exited {
				s.feed(generation.Ready{Gen: p.number})
			}
		})
	})
}
