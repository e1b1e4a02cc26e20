package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// Children is the Runner whose generations are children of this process, which is also
// the one to which their orphans come. Each generation has a cgroup of its own below
// the service's where the manager delegates that, and otherwise a process group.
//
// The program's main calls ExecStep first: a generation is this very program until it
// has joined its cgroup.
type Children struct {
	post   func(f func()) bool
	events Events
	log    *slog.Logger

	// The owner's.
	state    RunnerState
	restored bool
	cgroups  *cgroups // nil where there are process groups only
	watch    *cgroupWatch
	list     map[uint64]*child // those that were not forgotten
	reaper   *reaper
}

var _ Runner = (*Children)(nil)

// NewChildren returns a Runner that does nothing before Open. post has the owner call a
// function, and reports whether it will; log gets what a person may want to know.
func NewChildren(post func(f func()) bool, events Events, log *slog.Logger) *Children {
	return &Children{post: post, events: events, log: log, list: make(map[uint64]*child)}
}

// RestoreChildren is NewChildren for generations that a program before this one in the
// same process has started: Restore returns them.
func RestoreChildren(st RunnerState, post func(f func()) bool, events Events, log *slog.Logger) *Children {
	c := NewChildren(post, events, log)
	c.state, c.restored = st, true
	if st.Cgroups != "" {
		c.cgroups = &cgroups{base: st.Cgroups}
	}
	return c
}

// Open also makes this process the one to which orphans come.
func (c *Children) Open() (err error) {
	if c.restored {
		// As it was found before.
	} else if c.cgroups, err = openCgroups(); err != nil {
		c.state.Note = "no cgroups, process groups instead"
		c.log.Warn("generations get process groups instead of cgroups: descendants that leave the group are not ended with it", "reason", err)
	} else {
		c.state.Cgroups = c.cgroups.base
	}
	if c.cgroups != nil {
		if err := c.cgroups.thaw(); err != nil {
			c.log.Warn("a generation may stand still", "error", err)
		}
		if c.watch, err = watchCgroups(func(wd int) { c.post(func() { c.cgroupChanged(wd) }) }); err != nil {
			return err
		}
	}
	c.reaper, err = startReaper(func(pid int, status generation.ExitStatus) {
		c.post(func() { c.reaped(pid, status) })
	})
	return err
}

func (c *Children) Start(spec Spec) (Generation, error) {
	g := &child{c: c, number: spec.Number, watch: -1}
	start, err := g.prepare(spec)
	if err != nil {
		g.logOf(g.release(), "the cgroup could not be removed")
		return nil, err
	}
	c.list[g.number] = g
	go func() {
		// The owner hears of the start before it can hear of the end.
		err := c.reaper.start(func() (pid int, err error) {
			process, err := start()
			if err != nil {
				return 0, err
			}
			c.post(func() { g.started(process) })
			return process.Pid, nil
		})
		if err != nil {
			c.post(func() { c.events.StartFailed(g.number, err) })
		}
	}()
	return g, nil
}

// prepare makes all that a generation needs, and returns what starts it.
func (g *child) prepare(spec Spec) (start func() (*os.Process, error), err error) {
	mine := []*os.File{spec.Socket} // to be closed once the child has its own
	for _, f := range spec.Files {
		mine = append(mine, f.File)
	}
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
	if g.out, stderr, err = NewOutput(os.Stderr); err != nil {
		return nil, err
	}
	mine = append(mine, stderr)
	cmd := &exec.Cmd{Path: spec.Path, Args: spec.Args, Stdout: os.Stdout, Stderr: stderr}
	cmd.ExtraFiles = []*os.File{spec.Socket}
	cmd.Env = append(spec.Env[:len(spec.Env):len(spec.Env)], "HANDOFF_SOCKET="+strconv.Itoa(3+len(spec.Files)))
	group, err := g.group(cmd)
	if err != nil {
		return nil, err
	}
	if group != nil {
		mine = append(mine, group)
	}
	return func() (*os.Process, error) {
		defer closeMine()
		err := activation.Start(context.Background(), cmd, spec.Files...)
		return cmd.Process, err
	}, nil
}

// group keeps the generation's processes together. All have a process group, so
// that a key at the terminal ends none of them behind this process's back. What it
// returns, if anything, must stay open until cmd has been started.
func (g *child) group(cmd *exec.Cmd) (*os.File, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if g.c.cgroups == nil {
		return nil, nil
	}
	var err error
	if g.cgroup, err = g.c.cgroups.create(g.number); err != nil {
		return nil, err
	}
	if g.watch, err = g.c.watch.add(g.cgroup); err != nil {
		return nil, err
	}
	if !g.c.cgroups.clones {
		cmd.Env = append(cmd.Env, envCgroup+"="+g.cgroup.dir)
		return nil, nil
	}
	dir, err := os.Open(g.cgroup.dir)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return dir, nil
}

func (c *Children) Restore(number uint64, st State, file func(fd.Ref) *os.File) (Generation, error) {
	g := &child{
		c: c, number: number, stands: running, pid: st.PID, pgid: st.PGID, watch: -1,
		reaped: st.Reaped, emptied: st.Emptied,
	}
	if st.Exited {
		g.stands = exited
	}
	if st.Cgroup != "" {
		g.cgroup = &cgroup{dir: st.Cgroup}
	}
	var err error
	if g.out, err = openOutput(os.Stderr, file(st.Output), append([]byte(nil), st.Tail...)); err != nil {
		return nil, err
	}
	// The process is there as long as it was not waited for: nobody has its number.
	if st.Main {
		if g.main, err = os.FindProcess(st.PID); err != nil {
			return nil, err
		}
	}
	c.list[number] = g
	return g, nil
}

func (c *Children) Resume() {
	for _, g := range c.list {
		if g.cgroup != nil && !g.emptied {
			var err error
			g.watch, err = c.watch.add(g.cgroup)
			g.logOf(err, "the end of its processes is not noticed")
		}
		g.out.start()
		if g.main != nil {
			c.reaper.add(g.pid)
		}
		if g.reaped != nil {
			g.mainEnded(*g.reaped)
		}
		g.checkEmptied()
	}
}

// Halt also stops copying what generations write.
func (c *Children) Halt(ctx context.Context) (resume func(), err error) {
	awake, err := c.reaper.halt(ctx)
	if err != nil {
		return nil, fmt.Errorf("wait for a start to end: %w", err)
	}
	var list []*child
	listed := make(chan struct{})
	// What was started before has been told to the owner by now.
	if c.post(func() {
		for _, g := range c.list {
			list = append(list, g)
		}
		close(listed)
	}) {
		<-listed
	}
	stuck := false
	for _, g := range list {
		stuck = !g.out.halt() || stuck
	}
	resume = func() {
		for _, g := range list {
			g.out.resume()
		}
		awake()
	}
	if stuck {
		resume()
		return nil, errors.New("what generations write to standard error is not taken")
	}
	return resume, nil
}

func (c *Children) Launch(ctx context.Context, cmd *exec.Cmd) (<-chan generation.ExitStatus, error) {
	return c.reaper.launch(ctx, cmd)
}

func (c *Children) Snapshot() RunnerState { return c.state }

func (c *Children) Describe() string { return c.state.Note }

func (c *Children) Close() {
	if c.reaper != nil {
		c.reaper.close()
	}
	if c.watch != nil {
		c.watch.close()
	}
}

// reaped deals with the end of a process: a generation's main one, or an orphan.
func (c *Children) reaped(pid int, status generation.ExitStatus) {
	for _, g := range c.list {
		if g.main != nil && g.pid == pid {
			g.mainEnded(status)
		} else if g.cgroup == nil {
			g.checkEmptied()
		}
	}
}

// cgroupChanged deals with a cgroup that may be empty now.
func (c *Children) cgroupChanged(wd int) {
	for _, g := range c.list {
		if g.cgroup != nil && g.watch == wd {
			g.checkEmptied()
		}
	}
}
