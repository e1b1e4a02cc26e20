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

// resume makes the predecessor the service again, at once: nobody accepts until it
// does. What the successor was given and has not taken follows when that is over.
func (m *Machine) resume(p *generation) {
	reclaimed := p.Released
	p.Released = false
	m.enter(p, StateResuming)
	m.route()
	if !reclaimed {
		m.do(Reclaim{Gen: p.Number}) // it comes anew, with what it has stored since
	}
	m.do(Resume{Gen: p.Number})
	m.startTimer(ResumeTimer, p.Number, m.o.HandoverTimeout)
}

func (m *Machine) resumed(p *generation, _ Event) {
	m.enter(p, StateServing)
	m.log(p.Number, LogResumes, "%v serves again", p)
	if p.Silent {
		m.died(p, "its watchdog ran out", failure)
		return
	}
	m.startTimer(SettleTimer, p.Number, m.o.SettleAfter)
}
