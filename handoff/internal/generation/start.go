package generation

import "fmt"

// start begins the service with its first generation.
func (m *Machine) start(e Start) {
	if m.s.Phase == phaseNew {
		m.s.Phase = phaseRunning
		m.s.Last = e.Last
		m.s.Due = true
	}
}

// spawn starts a generation: for the reload r, or nil, to have one that serves.
func (m *Machine) spawn(r *request) {
	m.s.Last++
	m.s.Due = false
	m.cancel(func(t timer) bool { return t.Kind == BackoffTimer })
	p := m.incumbent()
	g := &generation{Number: m.s.Last, State: StateSpawning, Program: m.s.Program}
	if r != nil {
		r.Gen = g.Number
		g.Program = r.Program
		m.tellReloading()
	}
	m.s.Request = r
	m.s.Generations = append(m.s.Generations, g)
	m.do(Spawn{Gen: g.Number, Program: g.Program, Inherit: p == nil})
	m.startTimer(ReadyTimer, g.Number, m.o.ReadyTimeout)
}

func (m *Machine) spawned(g *generation, _ Event) {
	if g.State == StateKilling {
		if !g.Spawned {
			g.Spawned = true
			m.do(Kill{Gen: g.Number})
		}
		return
	}
	g.State = StateStarting // the timer goes on
	g.Spawned = true
}

func (m *Machine) spawnFailed(g *generation, e Event) {
	if g.Spawned {
		return
	}
	if g.State == StateSpawning {
		m.failed(g, fmt.Sprintf("could not be started: %s", e.(SpawnFailed).Reason), failure)
	}
	m.over(g, false)
}

// failure is the exit status on behalf of a generation that has none.
var failure = ExitStatus{Code: 1}

// ready goes on with a generation that is able to serve.
func (m *Machine) ready(g *generation, e Event) {
	g.Spawned = true
	g.Resumable = e.(Ready).Resumable
	g.Why = "" // nor is it in a snapshot, which a handoffd of before would refuse for it
	m.enter(g, StateReady)
	r := m.s.Request
	switch {
	case r != nil && r.DryRun:
		r.Outcome, r.Reason = Done, "a dry run: it became ready, and was stopped again"
		m.leave(g)
	case m.alone():
		// proceed commits it: there is nothing to go back to.
	case r != nil && r.Hold:
		r.Held = true
		m.startTimer(HoldTimer, g.Number, m.o.HoldTimeout)
		m.answer(Verdict{Outcome: Held, Gen: g.Number})
	case m.o.Probation > 0:
		m.startTimer(ProbationTimer, g.Number, m.o.Probation)
	default:
		m.commit(g)
	}
}

// waiting takes note of why a generation is not ready yet.
func (m *Machine) waiting(g *generation, e Event) { g.Why = e.(Waiting).Why }

// alone reports whether there is no generation that could go on serving.
func (m *Machine) alone() bool {
	p := m.incumbent()
	return p == nil || p.Silent
}

// proceed goes on with the candidate where the incumbent has changed.
func (m *Machine) proceed() {
	c, p := m.candidate(), m.incumbent()
	switch {
	case p != nil && p.State == StateReleasing && (c == nil || c.State != StateHandingOver):
		m.resume(p)
	case c == nil || !m.alone():
	case c.State == StateReady:
		m.commit(c)
	case c.State == StateHandingOver && p == nil:
		m.serve(c)
	case c.State <= StateStarting && p == nil && m.s.Request != nil && m.s.Request.DryRun:
		m.blame(c, "the generation that served has gone")
		m.leave(c)
	}
}

// commit makes g the service. From here on there is no way back but a reload,
// unless g fails while a predecessor that can resume hands over.
func (m *Machine) commit(g *generation) {
	p := m.incumbent()
	if r := m.s.Request; r != nil && r.Held {
		m.tellReloading()
	}
	if p == nil || p.Silent || !p.Resumable {
		m.serve(g)
		return
	}
	m.enter(g, StateHandingOver)
	m.route()
	m.enter(p, StateReleasing)
	m.do(Release{Gen: p.Number, To: g.Number})
	m.startTimer(ReleaseTimer, p.Number, m.o.ReleaseTimeout)
}

// serve makes g the one that serves, and its predecessor drain.
func (m *Machine) serve(g *generation) {
	if p := m.incumbent(); p != nil {
		m.leave(p)
	}
	m.enter(g, StateServing)
	m.route()
	m.startTimer(SettleTimer, g.Number, m.o.SettleAfter)
	m.s.Program = g.Program
	m.log(g.Number, LogServes, "%v serves", g)
	if !m.s.Served {
		m.s.Served = true
		m.do(TellReady{})
	}
	if m.s.Request != nil {
		m.s.Request.Outcome = Done
	}
}
