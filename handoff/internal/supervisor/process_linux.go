package supervisor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// A process is a generation, as far as the system knows it: its main process, and
// all that come from that.
type process struct {
	number  uint64
	program string // its path
	began   time.Time
	cmd     *exec.Cmd   // until it is started
	main    *os.Process // nil before the start, and when it has ended
	pid     int         // of main, the last one it had
	pgid    int

	cgroup *cgroup // nil where there are process groups only
	watch  int     // of the cgroup

	receiver  *notify.Receiver
	deliverer *parcel.Deliverer
	out       *output
	loops     []*loop     // that hear what it says
	timer     *time.Timer // until it is ready: alive; then its watchdog

	alive     time.Time     // when it has lived long enough to be ready; zero: it says so itself
	watchdog  time.Duration // the longest silence; 0: any
	heard     time.Time     // the last sign of life
	text      string        // STATUS=
	says      says
	committed bool               // it is, or was, the service
	resumable bool               // it has said that it can release and resume
	hasten    context.CancelFunc // has the stop signal sent at once, while workers come to stand still
	releaseTo uint64             // the successor for which it was last asked to release
	deaf      bool               // what was to be delivered last did not go in, and nothing was taken since
	full      bool               // it is known that the store had no room for it
	awaiting  bool               // the machine wants to know when it has taken all
	ready     bool
	reaped    *generation.ExitStatus // of main, until the machine is told
	exited    bool
	emptied   bool
}

// signal sends sig to the main process, if it runs.
func (p *process) signal(sig syscall.Signal) error {
	if p.main == nil {
		return nil
	}
	if err := p.main.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// kill ends all processes of the generation.
func (p *process) kill() error {
	if p.cgroup != nil {
		return p.cgroup.kill()
	}
	if p.pgid == 0 || p.emptied {
		return nil
	}
	// The group has a member, or its number would not be known to be ours.
	if err := unix.Kill(-p.pgid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return err
	}
	return p.signal(unix.SIGKILL) // which may have left the group
}

// gone reports whether no process of the generation is left.
func (p *process) gone() bool {
	if p.cgroup != nil {
		return !p.cgroup.populated()
	}
	return p.exited && unix.Kill(-p.pgid, 0) == unix.ESRCH
}

// mayNotify reports whether the sender of n is one whose word counts. The socket is
// open to every user of the machine, since generations may run under any.
//
// Some send and end at once, and then only their user is known: one that is ours, or
// root, could do worse. So it is where there are no cgroups, and a process has left
// the group.
func (s *Supervisor) mayNotify(p *process, n *notify.Notification) bool {
	switch {
	case n.PID == p.pid:
		return true
	case s.o.NotifyAccess == NotifyMain:
		return false
	}
	return n.UID == 0 || int(n.UID) == os.Geteuid() || p.holds(n.PID)
}

// holds reports whether pid is a process of the generation.
func (p *process) holds(pid int) bool {
	if p.cgroup != nil {
		return p.cgroup.contains(pid)
	}
	pgid, err := unix.Getpgid(pid)
	return err == nil && pgid == p.pgid
}

// processes returns what lists them, main among them; of a process group only those
// that may be seen below /proc.
func (p *process) processes() func() []int {
	if p.cgroup != nil {
		return p.cgroup.processes
	}
	group := p.pgid
	return func() (pids []int) {
		entries, _ := os.ReadDir("/proc")
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			if pgid, err := unix.Getpgid(pid); err == nil && pgid == group {
				pids = append(pids, pid)
			}
		}
		return pids
	}
}

// reaped deals with the end of a child: a generation's main process, or an orphan.
func (s *Supervisor) reaped(pid int, status generation.ExitStatus) {
	for _, p := range s.processes {
		if p.main != nil && p.pid == pid {
			s.exited(p, status)
		} else if p.cgroup == nil {
			s.checkEmptied(p)
		}
	}
}

// exited tells the machine that p's main process has ended, after all that it had
// to say: that may be that another process is the main one now.
func (s *Supervisor) exited(p *process, status generation.ExitStatus) {
	pid, addr := p.pid, p.receiver.Addr()
	p.reaped = &status
	go func() {
		await(addr)
		p.out.flush()
		s.post(func() {
			p.reaped = nil
			if p.pid != pid || p.main == nil {
				return
			}
			p.main.Release()
			p.main, p.exited = nil, true
			p.stopTimer()
			s.saidAll(p)
			s.feed(generation.Exited{Gen: p.number, Status: status, Why: p.why()})
			s.checkEmptied(p)
		})
	}()
}

// await returns when the notifications that were sent to addr before have been
// dealt with.
func await(addr string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	n, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + addr}}.Open()
	if err != nil {
		return // it was forgotten
	}
	defer n.Close()
	n.Barrier(ctx)
}

// cgroupChanged deals with a cgroup that may be empty now.
func (s *Supervisor) cgroupChanged(wd int) {
	for _, p := range s.processes {
		if p.cgroup != nil && p.watch == wd {
			s.checkEmptied(p)
		}
	}
}

// checkEmptied tells the machine when nothing of p is left.
func (s *Supervisor) checkEmptied(p *process) {
	if !p.exited && p.main == nil || p.emptied || !p.gone() {
		return
	}
	p.emptied = true
	s.feed(generation.Emptied{Gen: p.number})
}

func (p *process) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// forget lets go of what is kept for p.
func (s *Supervisor) forget(p *process) {
	delete(s.processes, p.number)
	p.stopTimer()
	if p.receiver != nil {
		s.logOf(p.receiver.Close(), p.number, "the notification socket could not be removed")
		os.Remove(p.receiver.Addr()) // which a receiver that was carried over leaves in place
	}
	if p.deliverer != nil {
		p.deliverer.Close()
	}
	if p.out != nil {
		p.out.close()
	}
	if p.main != nil {
		p.main.Release()
	}
	if p.cgroup != nil {
		s.logOf(p.cgroup.remove(), p.number, "the cgroup could not be removed")
	}
}
