package generation

// released goes on once the predecessor holds nothing any more: the successor has
// to take it.
func (m *Machine) released(p *generation, e Event) {
	c := m.candidate()
	if p.Released || c == nil || e.(Released).To != c.Number {
		return
	}
	p.Released = true
	m.cancelTimers(p.Number)
	m.do(Reclaim{Gen: p.Number}, AwaitTaken{Gen: c.Number})
	m.startTimer(TakeTimer, c.Number, m.o.HandoverTimeout)
}

// taken ends the handover.
func (m *Machine) taken(g *generation, _ Event) {
	if p := m.incumbent(); p != nil && p.Released {
		m.serve(g)
	}
}

// resume makes the predecessor the service again. The successor is over by then:
// what it had not taken waits.
func (m *Machine) resume() {
	m.s.Undoing = 0
	p := m.incumbent()
	p.Released = false
	m.enter(p, StateResuming)
	m.route()
	m.do(Resume{Gen: p.Number})
	m.startTimer(ResumeTimer, p.Number, m.o.HandoverTimeout)
}

func (m *Machine) resumed(p *generation, _ Event) {
	m.enter(p, StateServing)
	m.log(p.Number, LogResumes, "%v serves again", p)
	if p.Silent {
		m.died(failure)
		return
	}
	m.startTimer(SettleTimer, p.Number, m.o.SettleAfter)
}
