package generation

import (
	"fmt"
	"slices"
)

// failed takes note of what speaks against g in its state, before that changes.
func (m *Machine) failed(g *generation, reason string, status ExitStatus) {
	m.log(g.Number, LogFailed, "%v failed while %v: %s", g, g.State, reason)
	switch g.State {
	case StateSpawning, StateStarting, StateReady:
		m.blame(g, reason)
		if m.alone() {
			m.died(g, reason, status)
		}
	case StateHandingOver:
		m.blame(g, reason) // its predecessor resumes, see proceed
	case StateServing, StateResuming:
		m.died(g, reason, status)
	}
}

// died counts a death that left, or leaves, no generation fit to serve.
func (m *Machine) died(g *generation, reason string, status ExitStatus) {
	m.s.Deaths++
	m.s.LastDeath = status
	m.s.Down = fmt.Sprintf("%v failed: %s", g, reason)
	if m.s.Deaths == 1 && m.o.GiveUpAfter > 0 {
		m.startTimer(GiveUpTimer, 0, m.o.GiveUpAfter)
	}
}

// forgetDeaths begins anew, as a generation has served for long enough.
func (m *Machine) forgetDeaths() {
	m.s.Deaths, m.s.Down, m.s.GiveUp = 0, "", false
	m.cancel(func(t timer) bool { return t.Kind == GiveUpTimer })
}

// undo ends a candidate that failed, or is not wanted any more.
func (m *Machine) undo(g *generation, reason string) {
	m.failed(g, reason, failure)
	m.leave(g)
}

// leave tells g to end.
func (m *Machine) leave(g *generation) {
	if g.State == StateSpawning {
		m.kill(g) // there may be nobody yet who takes a signal
		return
	}
	m.drain(g)
	m.do(SendStop{Gen: g.Number})
}

// drain waits for the end of g.
func (m *Machine) drain(g *generation) {
	timeout := m.o.DrainTimeout
	if g.State == StateHandingOver {
		timeout = min(timeout, m.o.HandoverTimeout) // what it has not taken waits
	}
	m.enter(g, StateDraining)
	m.startTimer(DrainTimer, g.Number, timeout)
}

// hurry tells all that drain once more to stop, and gives them little time.
func (m *Machine) hurry() {
	for _, g := range m.s.Generations {
		if g.State == StateDraining && !slices.ContainsFunc(m.s.Timers, func(t timer) bool { return t.Gen == g.Number && t.Kind == HurryTimer }) {
			m.cancelTimers(g.Number)
			m.do(SendStop{Gen: g.Number})
			m.startTimer(HurryTimer, g.Number, min(m.o.HurryTimeout, m.o.DrainTimeout))
		}
	}
}

// kill ends what there is of g.
func (m *Machine) kill(g *generation) {
	m.enter(g, StateKilling)
	m.do(Kill{Gen: g.Number})
	m.startTimer(KillTimer, g.Number, m.o.KillTimeout)
}

// over forgets g.
func (m *Machine) over(g *generation, abandoned bool) {
	m.cancelTimers(g.Number)
	m.s.Generations = slices.DeleteFunc(m.s.Generations, func(o *generation) bool { return o == g })
	m.route() // what it had not taken must not come back to it
	m.do(Reclaim{Gen: g.Number}, Forget{Gen: g.Number, Abandoned: abandoned})
}

func (m *Machine) exited(g *generation, e Event) {
	if g.Exited {
		return
	}
	g.Spawned, g.Exited = true, true
	status := e.(Exited).Status
	if g.Final && m.s.Exit == (ExitStatus{}) {
		m.s.Exit = status
	}
	if g.State < StateDraining {
		deaths := m.s.Deaths
		m.failed(g, because("its main process ended: "+status.String(), e.(Exited).Why), status)
		if m.s.Deaths > deaths {
			m.s.Down = because(fmt.Sprintf("%v %s", g, e.(Exited).inShort()), e.(Exited).Why)
		}
	}
	switch {
	case g.Emptied:
		m.over(g, false)
	case g.State != StateKilling:
		m.kill(g) // what it left running
	}
}

// inShort is such as "exited 1 after 0.2 s".
func (e Exited) inShort() string {
	text := fmt.Sprintf("exited %d", e.Status.Code)
	if e.Status.Signal != 0 {
		text = fmt.Sprintf("was ended by signal %d", e.Status.Signal)
	}
	if e.After > 0 {
		text += " after " + seconds(e.After)
	}
	return text
}

// because adds to a reason what the generation has said itself.
func because(reason, why string) string {
	if why != "" {
		reason += "; it said " + why
	}
	return reason
}

func (m *Machine) emptied(g *generation, _ Event) {
	g.Emptied = true
	if g.Exited {
		m.over(g, false)
	}
}

// unfitting undoes a candidate that does not do what it is there for.
func (m *Machine) unfitting(g *generation, e Event) { m.undo(g, e.(Unfit).Reason) }

// stopping lets a generation leave that has decided so by itself. It does not
// accept any more.
func (m *Machine) stopping(g *generation, e Event) {
	m.failed(g, because("it stopped by itself", e.(Stopping).Why), failure)
	m.drain(g)
}

// silent deals with a generation of which the watchdog ran out.
func (m *Machine) silent(g *generation, _ Event) {
	const reason = "its watchdog ran out"
	switch {
	case g.State < StateServing:
		m.undo(g, reason)
	case g.Silent:
	case g.State == StateServing:
		// It is not stopped before another is ready: it may still do some of its work.
		m.failed(g, reason, failure)
		g.Silent = true
		m.cancelTimers(g.Number)
	default:
		g.Silent = true // a timer runs
	}
}

// stop ends the service: because of an exit status and a reason, or as asked.
func (m *Machine) stop(status ExitStatus, reason string) {
	m.s.Phase = phaseStopping
	m.s.Exit, m.s.GaveUp = status, reason
	m.cancelTimers(0)
	m.s.Due = false
	m.tellReady()
	m.do(TellStopping{})
	why := "the service stops"
	if reason != "" {
		m.log(0, LogGaveUp, "%s", reason)
		why = "the service gives up: " + reason
	}
	if r := m.s.Request; r != nil {
		if r.Outcome == 0 {
			r.Outcome, r.Reason = Undone, why
		}
		m.answer(Verdict{Outcome: r.Outcome, Gen: r.Gen, Reason: r.Reason})
		m.s.Request = nil
	}
	for _, r := range m.s.Waiting {
		m.refuse(why, r.Callers...)
	}
	m.s.Waiting = nil
	for _, g := range m.s.Generations {
		if g.State < StateDraining {
			g.Final = g.State.accepting() && reason == ""
			m.leave(g)
		}
	}
}
