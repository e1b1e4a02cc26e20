package process

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A reaper waits for all children of this process, the adopted ones included.
// That is the only place where they are waited for: two would take each other's.
type reaper struct {
	reaped func(pid int, status generation.ExitStatus)

	// nursery has those that are being made. If that fails, whoever makes it waits for
	// it, and nobody else must.
	nursery nursery
	reaping sync.Mutex // held while children are waited for, and while none must be

	mu    sync.Mutex
	known map[int]chan<- generation.ExitStatus // main processes, with nil, and those that were launched

	signals chan os.Signal
	over    chan struct{} // asks for the end
	done    chan struct{}
}

// startReaper makes this process the one to which orphans come, and has reaped
// called for each child that ended, one at a time.
func startReaper(reaped func(int, generation.ExitStatus)) (*reaper, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl(PR_SET_CHILD_SUBREAPER)", err)
	}
	r := &reaper{
		reaped: reaped, known: make(map[int]chan<- generation.ExitStatus),
		signals: make(chan os.Signal, 1), over: make(chan struct{}), done: make(chan struct{}),
	}
	signal.Notify(r.signals, unix.SIGCHLD)
	go r.run()
	return r, nil
}

// start runs f, which makes a main process, and waits for it if that fails.
func (r *reaper) start(f func() (pid int, err error)) error {
	if err := r.nursery.enter(context.Background()); err != nil {
		return err
	}
	defer r.wake() // for what was left alone meanwhile
	defer r.nursery.leave()
	pid, err := f()
	if err == nil {
		r.add(pid)
	}
	return err
}

// launch starts cmd, which is no generation's, and returns where its end is told.
func (r *reaper) launch(ctx context.Context, cmd *exec.Cmd) (<-chan generation.ExitStatus, error) {
	if err := r.nursery.enter(ctx); err != nil {
		return nil, err
	}
	defer r.wake()
	defer r.nursery.leave()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan generation.ExitStatus, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[cmd.Process.Pid] = ended
	return ended, nil
}

// add takes note of a main process.
func (r *reaper) add(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[pid] = nil
}

// replace takes note that another process is the main one.
func (r *reaper) replace(old, pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, old)
	r.known[pid] = nil
}

func (r *reaper) run() {
	defer close(r.done)
	for {
		r.reap() // also what ended before the signal was asked for
		select {
		case <-r.signals:
		case <-r.over:
			return
		}
	}
}

// wake has children waited for that may have ended.
func (r *reaper) wake() {
	select {
	case r.signals <- unix.SIGCHLD:
	default: // that is about to be done
	}
}

func (r *reaper) reap() {
	r.reaping.Lock()
	defer r.reaping.Unlock()
	for r.reapAny() {
	}
}

// reapAny waits for a child that has ended, and reports whether there may be more. While
// a child is being made, which may take long where its program lies on a file system
// that does not answer, it leaves alone what may be that one: all that it does not know.
func (r *reaper) reapAny() bool {
	var pid int
	var status unix.WaitStatus
	if r.nursery.quietly(func() { pid, status = wait(-1) }) {
		return r.tell(pid, status)
	}
	r.mu.Lock()
	pids := slices.Collect(maps.Keys(r.known))
	r.mu.Unlock()
	for _, pid := range pids {
		if r.tell(wait(pid)) {
			return true
		}
	}
	return false
}

// tell passes on that a child has ended, and reports whether one has.
func (r *reaper) tell(pid int, status unix.WaitStatus) bool {
	if pid <= 0 {
		return false
	}
	r.mu.Lock()
	ended := r.known[pid]
	delete(r.known, pid)
	r.mu.Unlock()
	if ended != nil {
		ended <- exitStatus(status)
	} else {
		r.reaped(pid, exitStatus(status))
	}
	return true
}

// wait is wait4(2) of what has ended already; without such a child it returns no PID.
func wait(pid int) (ended int, status unix.WaitStatus) {
	for {
		ended, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
		if err == nil {
			return ended, status
		}
		if err != unix.EINTR {
			return 0, status
		}
	}
}

// halt returns when nothing is made and nobody waited for any more, until resume. An
// error is that of ctx.
func (r *reaper) halt(ctx context.Context) (resume func(), err error) {
	// This first: what is being made may take long, and others end meanwhile.
	if err := r.nursery.halt(ctx); err != nil {
		return nil, err
	}
	r.reaping.Lock()
	return func() {
		r.reaping.Unlock()
		r.nursery.resume()
		r.wake()
	}, nil
}

// close stops waiting.
func (r *reaper) close() {
	signal.Stop(r.signals)
	close(r.over)
	<-r.done
}

func exitStatus(s unix.WaitStatus) generation.ExitStatus {
	if s.Signaled() {
		return generation.ExitStatus{Signal: int(s.Signal())}
	}
	return generation.ExitStatus{Code: s.ExitStatus()}
}
