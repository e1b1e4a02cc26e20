package generation

import (
	"slices"
	"time"
)

// A timer that runs.
type timer struct {
	ID   uint64    `json:"id"`
	Kind TimerKind `json:"kind"`
	Gen  uint64    `json:"gen,omitempty"`
}

// enter brings g into a state. What it waited for before is over.
func (m *Machine) enter(g *generation, s State) {
	m.cancelTimers(g.Number)
	g.State = s
}

func (m *Machine) startTimer(k TimerKind, gen uint64, after time.Duration) {
	m.s.LastTimer++
	m.s.Timers = append(m.s.Timers, timer{ID: m.s.LastTimer, Kind: k, Gen: gen})
	m.do(StartTimer{Timer: m.s.LastTimer, Kind: k, Gen: gen, After: after})
}

// cancelTimers cancels those of a generation, or those that are none's.
func (m *Machine) cancelTimers(gen uint64) {
	m.cancel(func(t timer) bool { return t.Gen == gen })
}

// cancel cancels the timers of which is holds.
func (m *Machine) cancel(is func(timer) bool) {
	m.s.Timers = slices.DeleteFunc(m.s.Timers, func(t timer) bool {
		cancelled := is(t)
		if cancelled {
			m.do(CancelTimer{Timer: t.ID})
		}
		return cancelled
	})
}

// fired handles a timer, if it still counts.
func (m *Machine) fired(e TimerFired) {
	i := slices.IndexFunc(m.s.Timers, func(t timer) bool { return t.ID == e.Timer })
	if i < 0 {
		return
	}
	t := m.s.Timers[i]
	m.s.Timers = slices.Delete(m.s.Timers, i, i+1)
	switch t.Kind {
	case BackoffTimer:
		m.s.Due = true
		return
	case GiveUpTimer:
		m.s.GiveUp = true // schedule gives up, unless a generation serves or is coming
		return
	}
	m.happened(e, t.Gen, onTimer)
}

// extend gives a generation the time it asks for, if it is what is waited for, and
// nobody is in a hurry.
func (m *Machine) extend(g *generation, e Event) {
	by := e.(Extend).By
	for _, t := range m.s.Timers {
		if t.Gen == g.Number && by > 0 && t.Kind != HurryTimer {
			m.do(ExtendTimer{Timer: t.ID, By: by})
		}
	}
}

// waited handles the end of what a generation was given time for.
func (m *Machine) waited(g *generation, _ Event) {
	switch g.State {
	case StateSpawning, StateStarting:
		reason := "it was not ready in time"
		if g.Why != "" {
			reason += ": it " + g.Why
		}
		m.undo(g, reason)
	case StateReady:
		if m.s.Request.Held {
			m.undo(g, "neither commit nor abort came in time")
			return
		}
		m.commit(g)
	case StateHandingOver:
		m.undo(g, "it did not take in time what its predecessor left")
	case StateServing:
		m.forgetDeaths()
	case StateReleasing:
		m.log(g.Number, LogLate, "%v has not released in time: it finishes what it has, and cannot resume", g)
		m.serve(m.candidate())
	case StateResuming:
		// It accepts, so it stays until another is ready.
		g.Silent = true
		m.failed(g, "it did not resume in time", failure)
		m.enter(g, StateServing)
	case StateDraining:
		m.log(g.Number, LogFailed, "%v did not end in time", g)
		m.kill(g)
	case StateKilling:
		m.log(g.Number, LogAbandoned, "%v has processes that cannot be killed", g)
		m.over(g, true)
	}
}

func (m *Machine) running(k TimerKind) bool {
	return slices.ContainsFunc(m.s.Timers, func(t timer) bool { return t.Kind == k })
}
