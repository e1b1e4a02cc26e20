package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// carryOut carries out what follows from an event.
func (s *Supervisor) carryOut(effects []generation.Effect) {
	s.setStatus(effects)
	for _, effect := range effects {
		s.log.Debug("effect", "effect", effect.String())
		s.do(effect)
	}
}

// do carries out an effect.
func (s *Supervisor) do(e generation.Effect) {
	switch e := e.(type) {
	case generation.Spawn:
		s.spawn(e)
	case generation.SendStop:
		if p := s.instances[e.Gen]; p != nil {
			s.stops.tell(p)
		}
	case generation.Kill:
		if p := s.instances[e.Gen]; p != nil {
			s.logOf(p.Kill(), e.Gen, "the generation could not be killed")
		}
	case generation.Forget:
		if p := s.instances[e.Gen]; p != nil {
			s.requests.words = lastWords{p.number, p.Output()}
			s.forget(p)
			// A reload is a burst of work in a process that else has none: without it
			// what the burst took would stay.
			go debug.FreeOSMemory()
		}
	case generation.Deliver:
		s.store.Serve(e.To)
	case generation.Reclaim:
		s.store.Reclaim(e.Gen, !s.machine.knows(e.Gen))
	case generation.Own:
		if p := s.instances[e.Gen]; p != nil {
			s.logOf(p.orders.owned(), e.Gen, "the generation could not be told that no other holds anything")
		}
	case generation.Release:
		if p := s.instances[e.Gen]; p != nil {
			s.logOf(p.orders.release(e.To), e.Gen, "the generation could not be told to release")
		}
	case generation.AwaitTaken:
		if p := s.instances[e.Gen]; p != nil {
			s.store.AwaitTaken(e.Gen, p.orders.resumable)
		}
	case generation.Resume:
		if p := s.instances[e.Gen]; p != nil {
			s.logOf(p.orders.resume(), e.Gen, "the generation could not be told to resume")
		}
	case generation.StartTimer:
		s.machine.timers.start(e.Timer, e.After)
	case generation.ExtendTimer:
		s.machine.timers.extend(e.Timer, e.By)
	case generation.CancelTimer:
		s.machine.timers.cancel(e.Timer)
	case generation.TellReady:
		s.manager.Ready()
	case generation.TellReloading:
		s.manager.Reloading()
	case generation.TellStopping:
		if s.drain.stage == ending {
			return // they end, and the service does not
		}
		s.drain.abandon(ErrEnded) // or the end would be taken for that of the drain
		s.manager.Stopping()
	case generation.TellStatus:
		s.manager.Status()
	case generation.Answer:
		s.answer(e)
	case generation.Log:
		s.logEffect(e)
	case generation.Exit:
		if s.drain.stage == ending {
			s.drainFinished()
			return
		}
		s.machine.exit = &e
	}
}

// setStatus has the manager know the status to which effects lead, before they are
// carried out.
func (s *Supervisor) setStatus(effects []generation.Effect) {
	for _, e := range effects {
		status, ok := e.(generation.TellStatus)
		if !ok {
			continue
		}
		s.manager.SetStatus(s.withNotes(status.Text))
	}
}

// notesChanged tells the manager the status with what is noted now.
func (s *Supervisor) notesChanged() {
	if text := s.machine.Status(); text != "" {
		s.manager.SetStatus(s.withNotes(text))
		s.manager.Status()
	}
	s.change()
}

func (s *Supervisor) withNotes(text string) string {
	if notes := s.notes(); len(notes) > 0 {
		text = fmt.Sprintf("%s (%s)", text, strings.Join(notes, "; "))
	}
	return text
}

// notes says what is not as it could be.
func (s *Supervisor) notes() (list []string) {
	for _, state := range s.queues.stuck {
		list = append(list, state.String())
	}
	slices.Sort(list)
	if p := s.serving(); p != nil && p.readiness.doubt != "" {
		list = append(list, fmt.Sprintf("it is not known whether generation %d accepts: %s", p.number, p.readiness.doubt))
	}
	if note := s.runner.Describe(); note != "" {
		list = append(list, note)
	}
	return list
}

// answer gives a caller the verdict, after the manager was told that the reload is
// over.
func (s *Supervisor) answer(e generation.Answer) {
	reply := s.requests.take(e.Caller)
	if reply == nil {
		return // it does not wait any more
	}
	r := s.result(e.Verdict)
	s.manager.Then(func() { reply <- r })
}

// result adds to a verdict what the generation had to say for itself.
func (s *Supervisor) result(v generation.Verdict) Result {
	r := Result{Verdict: v, Time: time.Now(), Stopping: s.machine.Situation() == generation.ServiceStopping}
	if v.Outcome == generation.Undone {
		r.Output = s.output(v.Gen)
	}
	return r
}

// output returns the last lines of a generation.
func (s *Supervisor) output(gen uint64) []string {
	if p := s.instances[gen]; p != nil {
		return p.Output()
	}
	return s.requests.output(gen)
}

func (s *Supervisor) logEffect(e generation.Log) {
	if e.Event == generation.LogReload || e.Event == generation.LogRefused {
		s.requests.verdict = s.result(s.machine.LastVerdict())
	}
	if e.Event == generation.LogServes || e.Event == generation.LogResumes {
		s.forwardFailure()
	}
	level := slog.LevelInfo
	switch e.Event {
	case generation.LogFailed, generation.LogRoom, generation.LogRefused:
		level = slog.LevelWarn
	case generation.LogAbandoned, generation.LogGaveUp:
		level = slog.LevelError
	}
	s.log.Log(context.Background(), level, e.Text, "generation", e.Gen, "handoff_event", string(e.Event))
}

func (s *Supervisor) logOf(err error, gen uint64, text string) {
	if err != nil {
		s.log.Warn(text, "generation", gen, "error", err)
	}
}
