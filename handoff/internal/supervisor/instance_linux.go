package supervisor

import (
	"context"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// An instance is a generation as this package knows it: its processes, and the ways on
// which it speaks and is spoken to.
type instance struct {
	process.Generation
	number  uint64
	program string // its path
	began   time.Time

	receiver  *notify.Receiver
	deliverer *parcel.Deliverer
	loops     []*loop     // that hear what it says
	timer     *time.Timer // until it is ready: alive; then its watchdog

	alive     time.Time     // when it has lived long enough to be ready; zero: it says so itself
	watchdog  time.Duration // the longest silence; 0: any
	heard     time.Time     // the last sign of life
	text      string        // STATUS=
	says      selfReport
	resumable bool               // it has said that it can release and resume
	hasten    context.CancelFunc // has the stop signal sent at once, while workers come to stand still
	releaseTo uint64             // the successor for which it was last asked to release
	ready     bool
}

// isStarting reports whether it has no main process yet.
func (p *instance) isStarting() bool {
	pid, _ := p.Main()
	return pid == 0
}

// hasExited reports whether its main process has ended, and the machine was told.
func (p *instance) hasExited() bool {
	pid, alive := p.Main()
	return pid != 0 && !alive
}

// mayNotify reports whether the sender of n is one whose word counts. The socket is
// open to every user of the machine, since generations may run under any.
//
// Some send and end at once, and then only their user is known: one that is ours, or
// root, could do worse. So it is where there are no cgroups, and a process has left
// the group.
func (s *Supervisor) mayNotify(p *instance, n *notify.Notification) bool {
	main, _ := p.Main()
	switch {
	case n.PID == main:
		return true
	case s.o.NotifyAccess == NotifyMain:
		return false
	}
	return n.UID == 0 || int(n.UID) == os.Geteuid() || p.Contains(n.PID)
}

// outcomes passes on what becomes of generations.
type outcomes struct{ s *Supervisor }

func (o outcomes) Started(number uint64) { o.s.started(o.s.instances[number]) }

func (o outcomes) StartFailed(number uint64, reason error) {
	o.s.feed(generation.SpawnFailed{Gen: number, Reason: reason.Error()})
}

func (o outcomes) Exited(number uint64, status generation.ExitStatus) {
	p := o.s.instances[number]
	p.stopTimer()
	o.s.flushFailure(p)
	o.s.feed(generation.Exited{Gen: number, Status: status, Why: p.says.Failure.String()})
}

func (o outcomes) Emptied(number uint64) { o.s.feed(generation.Emptied{Gen: number}) }

func (o outcomes) Heard(number uint64) {
	addr := ""
	o.s.call(func() error {
		if p := o.s.instances[number]; p != nil {
			addr = p.receiver.Addr()
		}
		return nil
	})
	await(addr)
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

func (p *instance) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// forget lets go of what is kept for p.
func (s *Supervisor) forget(p *instance) {
	delete(s.instances, p.number)
	s.store.Detach(p.number)
	p.stopTimer()
	s.logOf(p.receiver.Close(), p.number, "the notification socket could not be removed")
	os.Remove(p.receiver.Addr()) // which a receiver that was carried over leaves in place
	p.deliverer.Close()
	s.logOf(p.Forget(), p.number, "the cgroup could not be removed")
}
