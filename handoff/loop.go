package handoff

import (
	"context"
	"os"
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/internal/life"
)

// incoming are the signals that Run takes. It takes them all at once, since they come
// by one channel, and keeps each for the state that heeds it.
type incoming struct {
	signals    <-chan os.Signal
	reload     chan struct{} // holds a token after SIGHUP
	interrupt  chan struct{} // holds one after the second SIGINT, and each later one
	interrupts int
}

func newIncoming(signals <-chan os.Signal) incoming {
	return incoming{signals: signals, reload: make(chan struct{}, 1), interrupt: make(chan struct{}, 1)}
}

// take sorts a signal. SIGTERM, and the first SIGINT, are as Stop: a manager may
// repeat its SIGTERM, which changes nothing.
func (in *incoming) take(sig os.Signal, stop func()) {
	token := in.interrupt
	switch sig {
	case syscall.SIGHUP:
		token = in.reload
	case os.Interrupt:
		stop()
		if in.interrupts++; in.interrupts < 2 {
			return
		}
	default:
		stop()
		return
	}
	select {
	case token <- struct{}{}:
	default: // there is one already
	}
}

// loop feeds the life of the Service until that ends. It waits here, and nowhere else.
// What the present state does not take stays in its channel.
func (r *run) loop(ctx context.Context) {
	for r.life.State() != life.Ended {
		var accepting, shutdown <-chan struct{}
		if r.shutdown != nil {
			accepting, shutdown = r.shutdown.stopped, r.shutdown.done
		}
		select {
		case sig := <-r.incoming.signals:
			r.incoming.take(sig, r.s.Stop)
		case <-when(r, life.StopAsked, r.s.stop.ch):
			r.handle(life.StopAsked, nil)
		case <-when(r, life.StopAsked, ctx.Done()):
			r.handle(life.StopAsked, nil)
		case <-when(r, life.Interrupted, r.incoming.interrupt):
			r.handle(life.Interrupted, nil)
		case <-when(r, life.ReloadAsked, r.incoming.reload):
			r.handle(life.ReloadAsked, nil)
		case err := <-when(r, life.ReloadDone, r.reloaded()):
			r.handle(life.ReloadDone, err)
		case err := <-when(r, life.TaskFailed, r.failed):
			r.handle(life.TaskFailed, err)
		case d := <-when(r, life.ReleaseAsked, r.takeover.Deliveries.Orders()): // or ResumeAsked
			r.ordered(d)
		case <-when(r, life.AcceptEnded, accepting):
			r.handle(life.AcceptEnded, nil)
		case q := <-r.questions:
			r.answer(q)
		case <-when(r, life.ShutdownDone, shutdown):
			r.handle(life.ShutdownDone, nil)
		case err := <-when(r, life.StatesBack, r.handover.resumed): // or StatesLost
			r.statesResumed(err)
		}
	}
}

// when returns ch where the present state takes e, else nil, from which nothing comes.
func when[C <-chan T | chan T, T any](r *run, e life.Event, ch C) <-chan T {
	if !r.life.Takes(e) {
		return nil
	}
	return ch
}

// answer tells a shutdown whether it may save. One that was abandoned must not.
func (r *run) answer(q question) {
	yes := q.from == r.shutdown && r.life.Takes(life.SaveAsked)
	if yes {
		r.handle(life.SaveAsked, nil)
	}
	q.yes <- yes
}

// handle has happened what follows from e; err is what came with it.
func (r *run) handle(e life.Event, err error) {
	for _, f := range r.life.Handle(e) {
		r.do(f, err)
	}
}

// do does an effect, without waiting for anything.
func (r *run) do(f life.Effect, err error) {
	switch f {
	case life.SendReady:
		r.sendReady()
	case life.BeginReload:
		r.beginReload()
	case life.EndReload:
		r.endReload(err)
	case life.BeginShutdown:
		r.beginRelease()
	case life.BeginLastShutdown:
		r.beginShutdown(true)
	case life.AbandonShutdown:
		r.shutdown.abandon()
	case life.CloseListeners:
		r.s.parts.closeListeners()
	case life.HurryShutdown:
		r.hurryUp()
	case life.ResumeStates:
		r.resumeStates()
	case life.CutResume:
		r.handover.cut(errHurry)
	case life.BeginPeriod:
		r.beginPeriod()
	case life.SendReleased:
		r.sendReleased()
	case life.SendResumed:
		r.sendResumed()
	case life.SendStopping:
		r.sendStopping(err)
	case life.ReportCause:
		r.report(err)
	case life.Return: // loop sees that it has ended
	}
}
