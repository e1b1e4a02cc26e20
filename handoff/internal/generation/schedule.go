package generation

import "fmt"

// schedule starts the next generation, if one is wanted and nothing is under way:
// a reload that waits, or a respawn after its pause.
func (m *Machine) schedule() {
	p := m.incumbent()
	if m.candidate() != nil || p != nil && p.State != StateServing {
		return
	}
	respawn := m.alone()
	switch {
	case respawn && m.s.Deaths > 0 && !m.s.Served:
		m.stop(m.s.LastDeath, "the first generation failed")
		return
	case respawn && m.s.Deaths > 0 && m.s.GiveUp:
		m.stop(m.s.LastDeath, fmt.Sprintf("%d generations died within %v, each before it had served for %v", m.s.Deaths, m.o.GiveUpAfter, m.o.SettleAfter))
		return
	case respawn && m.s.Deaths >= m.o.MaxDeaths && m.o.GiveUpAfter == 0:
		m.stop(m.s.LastDeath, fmt.Sprintf("%d generations died, each before it had served for %v", m.s.Deaths, m.o.SettleAfter))
		return
	}
	for respawn && len(m.s.Waiting) > 0 && m.s.Waiting[0].DryRun {
		m.refuse("a dry run needs a generation that serves", m.s.Waiting[0].Callers...)
		m.s.Waiting = m.s.Waiting[1:]
	}
	switch {
	case len(m.s.Waiting) > 0 && m.room():
		r := m.s.Waiting[0]
		m.s.Waiting = m.s.Waiting[1:]
		m.spawn(&r)
	case len(m.s.Waiting) > 0 || !respawn:
	case m.s.Due && m.room():
		m.spawn(nil)
	case !m.s.Due && !m.running(BackoffTimer):
		m.startTimer(BackoffTimer, 0, m.o.backoff(m.s.Deaths))
	}
}

// room reports whether another generation may live. If not it sees to it that one
// ends: the oldest that drains.
func (m *Machine) room() bool {
	if len(m.s.Generations) < m.o.MaxGenerations {
		return true
	}
	if m.first(func(g *generation) bool { return g.State == StateKilling }) == nil {
		// All but one of two or more drain.
		g := m.first(func(g *generation) bool { return g.State == StateDraining })
		m.log(g.Number, LogRoom, "%v is killed: %d generations are alive", g, len(m.s.Generations))
		m.kill(g)
	}
	return false
}
