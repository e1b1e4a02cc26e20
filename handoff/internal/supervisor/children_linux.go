package supervisor

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// children waits for all children of this process, the adopted ones included.
// That is the only place where they are waited for: two would take each other's.
type children struct {
	// mu is held while a child is made, and while none must be. If that fails, whoever
	// makes it waits for it, and nobody else must.
	mu      sync.Mutex
	reaped  func(pid int, status generation.ExitStatus)
	waited  map[int]chan<- generation.ExitStatus // for those that are no generation's; of mu
	signals chan os.Signal
	loop    *loop
}

// watchChildren makes this process the one to which orphans come, and has reaped
// called for each child that ended, one at a time.
func watchChildren(reaped func(int, generation.ExitStatus)) (*children, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl(PR_SET_CHILD_SUBREAPER)", err)
	}
	c := &children{reaped: reaped, signals: make(chan os.Signal, 1), waited: make(map[int]chan<- generation.ExitStatus)}
	signal.Notify(c.signals, unix.SIGCHLD)
	c.loop = newLoop(c.run)
	return c, nil
}

// start runs f, which makes a child and waits for it if that fails.
func (c *children) start(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f()
}

// launch starts cmd, which is no generation's, and returns where its end is told.
func (c *children) launch(cmd *exec.Cmd) (<-chan generation.ExitStatus, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan generation.ExitStatus, 1)
	c.waited[cmd.Process.Pid] = ended
	return ended, nil
}

func (c *children) run(ctx context.Context) {
	for {
		c.reap() // also what ended before the signal was asked for
		select {
		case <-c.signals:
		case <-ctx.Done():
			return
		}
	}
}

func (c *children) reap() {
	for {
		c.mu.Lock()
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		ended := c.waited[pid]
		delete(c.waited, pid)
		c.mu.Unlock()
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || pid == 0:
			return
		}
		if ended != nil {
			ended <- exitStatus(status)
			continue
		}
		c.reaped(pid, exitStatus(status))
	}
}

// close stops waiting.
func (c *children) close() {
	signal.Stop(c.signals)
	c.loop.halt()
}

func exitStatus(s unix.WaitStatus) generation.ExitStatus {
	if s.Signaled() {
		return generation.ExitStatus{Signal: int(s.Signal())}
	}
	return generation.ExitStatus{Code: s.ExitStatus()}
}
