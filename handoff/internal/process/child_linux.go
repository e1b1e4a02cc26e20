package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A standing is how far the main process of a generation is.
type standing int

const (
	starting standing = iota
	running           // Started was told
	exited            // Exited was told
)

// A child is a generation whose main process is a child of this one.
type child struct {
	c      *Children
	number uint64
	stands standing
	main   *os.Process // nil but while it is running
	pid    int         // of main, the last one it had
	pgid   int
	cgroup *cgroup // nil where there are process groups only
	watch  int     // of the cgroup
	out    *Output

	reaped  *generation.ExitStatus // of main, until Exited is told
	emptied bool                   // that was told, which may be before Exited
}

var _ Generation = (*child)(nil)

// started goes on with a generation whose program runs.
func (g *child) started(main *os.Process) {
	g.stands, g.main, g.pid, g.pgid = running, main, main.Pid, main.Pid
	if g.forgotten() {
		// It took so long to make it that it had been given up.
		g.logOf(g.kill(), "the generation could not be killed")
		return
	}
	g.c.events.Started(g.number)
}

func (g *child) forgotten() bool { return g.c.list[g.number] != g }

func (g *child) Main() (pid int, alive bool) { return g.pid, g.main != nil }

func (g *child) SetMain(pid int) error {
	switch {
	case g.main == nil:
		return errors.New("the generation has no main process")
	case pid == g.pid:
		return nil
	case pid < 2 || !g.Contains(pid):
		return fmt.Errorf("%d is no process of the generation", pid)
	}
	main, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	g.main.Release()
	g.c.reaper.replace(g.pid, pid)
	g.main, g.pid = main, pid
	return nil
}

func (g *child) Contains(pid int) bool {
	if g.cgroup != nil {
		return g.cgroup.contains(pid)
	}
	pgid, err := unix.Getpgid(pid)
	return err == nil && pgid == g.pgid
}

// Processes lists of a process group only those that may be seen below /proc.
func (g *child) Processes() (pids []int) {
	if g.cgroup != nil {
		return g.cgroup.processes()
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if pgid, err := unix.Getpgid(pid); err == nil && pgid == g.pgid {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (g *child) Signal(sig syscall.Signal) error {
	if g.main == nil {
		return nil
	}
	if err := g.main.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (g *child) Kill() error {
	err := g.kill()
	g.checkEmptied()
	return err
}

func (g *child) kill() error {
	if g.cgroup != nil {
		return g.cgroup.kill()
	}
	if g.pgid == 0 || g.emptied {
		return nil
	}
	// The group has a member, or its number would not be known to be ours.
	if err := unix.Kill(-g.pgid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return err
	}
	return g.Signal(unix.SIGKILL) // which may have left the group
}

func (g *child) Usage() (memory, cpu int64) {
	if g.cgroup == nil {
		return -1, -1
	}
	return g.cgroup.usage()
}

func (g *child) Output() []string { return g.out.Lines() }

func (g *child) Snapshot(add func(*os.File) fd.Ref) State {
	st := State{
		Main: g.main != nil, PID: g.pid, PGID: g.pgid,
		Output: add(g.out.file), Tail: g.out.last(),
		Reaped: g.reaped, Exited: g.stands == exited, Emptied: g.emptied,
	}
	if g.cgroup != nil {
		st.Cgroup = g.cgroup.dir
	}
	return st
}

// mainEnded tells that the main process has ended, after all that the generation had to
// say: that may be that another process is the main one now.
func (g *child) mainEnded(status generation.ExitStatus) {
	pid := g.pid
	g.reaped = &status
	go func() {
		g.c.events.Heard(g.number)
		g.out.Flush()
		g.c.post(func() {
			g.reaped = nil
			if g.pid != pid || g.main == nil || g.forgotten() {
				return
			}
			g.main.Release()
			g.main, g.stands = nil, exited
			g.c.events.Exited(g.number, status)
			g.checkEmptied()
		})
	}()
}

// checkEmptied tells when nothing of the generation is left.
func (g *child) checkEmptied() {
	if g.stands == starting || g.emptied || g.forgotten() || !g.gone() {
		return
	}
	g.emptied = true
	g.c.events.Emptied(g.number)
}

// gone reports whether no process of the generation is left.
func (g *child) gone() bool {
	if g.cgroup != nil {
		return !g.cgroup.populated()
	}
	return g.stands == exited && unix.Kill(-g.pgid, 0) == unix.ESRCH
}

func (g *child) Forget() error {
	if g.forgotten() {
		return nil
	}
	delete(g.c.list, g.number)
	return g.release()
}

func (g *child) release() error {
	if g.out != nil {
		g.out.Close()
	}
	if g.main != nil {
		g.main.Release()
	}
	if g.cgroup != nil {
		return g.cgroup.remove()
	}
	return nil
}

func (g *child) logOf(err error, text string) {
	if err != nil {
		g.c.log.Warn(text, "generation", g.number, "error", err)
	}
}
