package supervisor

import (
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/notify"
)

// An instance is a generation as this package knows it: its processes, and the ways on
// which it speaks and is spoken to.
type instance struct {
	process.Generation
	number  uint64
	program string // its path
	began   time.Time

	receiver *notify.Receiver
	orders   orders
	loops    []*loop // that hear what it says

	readiness readiness
	watchdog  watchdog
	text      string // STATUS=
	says      selfReport
}

// newInstance returns one that has nothing yet.
func (s *Supervisor) newInstance(number uint64, program string, began time.Time) *instance {
	p := &instance{number: number, program: program, began: began}
	p.readiness = readiness{by: s.ready(), post: s.post, ready: func() { s.feed(generation.Ready{Gen: number, Resumable: p.orders.resumable}) }}
	p.watchdog = watchdog{
		post:   s.post,
		heard:  func() { await(p.receiver.Addr()) },
		silent: func() { s.feed(generation.Silent{Gen: number}) },
	}
	return p
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

// outcomes passes on what becomes of generations.
type outcomes struct{ s *Supervisor }

func (o outcomes) Started(number uint64) { o.s.started(o.s.instances[number]) }

func (o outcomes) StartFailed(number uint64, reason error) {
	o.s.feed(generation.SpawnFailed{Gen: number, Reason: reason.Error()})
}

func (o outcomes) Exited(number uint64, status generation.ExitStatus) {
	p := o.s.instances[number]
	p.stopTimers()
	o.s.flushFailure(p)
	o.s.feed(generation.Exited{Gen: number, Status: status, Why: p.says.Failure.String(), After: time.Since(p.began)})
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

// stopTimers has nothing done on its behalf when time has passed.
func (p *instance) stopTimers() {
	p.readiness.stop()
	p.watchdog.stop()
}

// forget lets go of what is kept for p.
func (s *Supervisor) forget(p *instance) {
	delete(s.instances, p.number)
	s.store.Detach(p.number)
	p.stopTimers()
	s.logOf(p.receiver.Close(), p.number, "the notification socket could not be removed")
	os.Remove(p.receiver.Addr()) // which a receiver that was carried over leaves in place
	p.orders.deliverer.Close()
	s.logOf(p.Forget(), p.number, "what is left of the generation could not be removed")
}
