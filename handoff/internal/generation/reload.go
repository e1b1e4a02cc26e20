package generation

import (
	"fmt"
	"slices"
	"strings"
)

// A request is a reload: what was asked for, who waits, and what has become of it.
type request struct {
	Hold    bool     `json:"hold,omitempty"`
	DryRun  bool     `json:"dry_run,omitempty"`
	Program string   `json:"program,omitempty"`
	Callers []uint64 `json:"callers,omitempty"`

	Gen     uint64  `json:"gen,omitempty"`     // the generation that was started for it
	Held    bool    `json:"held,omitempty"`    // callers were told, and it waits for others
	Outcome Outcome `json:"outcome,omitempty"` // known before it can be told
	Reason  string  `json:"reason,omitempty"`
}

func (r request) String() string {
	var b strings.Builder
	if r.Hold {
		b.WriteString(" with hold")
	}
	if r.DryRun {
		b.WriteString(" as a dry run")
	}
	if r.Program != "" {
		fmt.Fprintf(&b, " of %q", r.Program)
	}
	return b.String()
}

// same reports whether one generation answers both requests.
func (r request) same(o request) bool {
	return r.Hold == o.Hold && r.DryRun == o.DryRun && r.Program == o.Program
}

// join adds a caller, unless there are too many.
func (r *request) join(caller uint64) bool {
	if caller == 0 || slices.Contains(r.Callers, caller) {
		return true
	}
	if len(r.Callers) == maxCallers {
		return false
	}
	r.Callers = append(r.Callers, caller)
	return true
}

// asked handles what the service is asked for.
func (m *Machine) asked(e Event) {
	switch e := e.(type) {
	case Reload:
		m.reload(e)
	case Commit:
		m.commitAsked(e)
	case Abort:
		m.abortAsked(e)
	case Stop:
		if m.s.Phase <= phaseRunning {
			m.stop(ExitStatus{}, "")
		}
	case Hurry:
		if m.s.Phase == phaseStopping {
			m.hurry()
		}
	}
}

// unfit says why nothing can be asked of the service now; "" is not at all.
func (m *Machine) unfit() string {
	switch m.s.Phase {
	case phaseNew:
		return "the service has not started"
	case phaseStopping:
		return "the service stops"
	}
	return ""
}

// reload remembers what was asked for; schedule starts it when its turn comes. A
// generation that was started before the call is no answer to it.
func (m *Machine) reload(e Reload) {
	r := request{Hold: e.Hold, DryRun: e.DryRun, Program: e.Program}
	reason := m.unfit()
	if reason == "" && r.Hold && r.DryRun {
		reason = "a dry run cannot be held"
	}
	i := slices.IndexFunc(m.s.Waiting, r.same)
	if reason == "" && i < 0 {
		if len(m.s.Waiting) == maxWaiting {
			reason = fmt.Sprintf("%d other reloads wait", maxWaiting)
		} else {
			i = len(m.s.Waiting)
			m.s.Waiting = append(m.s.Waiting, r)
		}
	}
	if reason == "" && !m.s.Waiting[i].join(e.Caller) {
		reason = fmt.Sprintf("%d callers wait for this reload", maxCallers)
	}
	switch {
	case reason == "":
	case e.Caller == 0 && m.s.Phase == phaseRunning:
		m.refuseSignal(r, reason)
	default:
		m.refuse(reason, e.Caller)
	}
}

// refuseSignal refuses a reload by signal. The service manager may have sent that,
// though not before the first READY=1, and then waits until it has been told of a
// reload that began after it.
func (m *Machine) refuseSignal(r request, reason string) {
	v := Verdict{Outcome: Refused, Reason: reason}
	m.s.Verdict = v
	m.log(0, LogRefused, "reload%v by signal %v", r, v)
	if !m.s.Served {
		return
	}
	m.do(TellReloading{})
	if !m.s.Reloading { // else it ends with the one under way
		m.do(TellReady{})
	}
}

func (m *Machine) commitAsked(e Commit) {
	reason := m.unfit()
	c := m.candidate()
	if reason == "" && (c == nil || c.State < StateReady) {
		reason = "no generation is ready for a commit"
	}
	if reason == "" && !m.s.Request.join(e.Caller) {
		reason = fmt.Sprintf("%d callers wait for this commit", maxCallers)
	}
	switch {
	case reason != "":
		m.refuse(reason, e.Caller)
	case c.State == StateReady:
		m.commit(c)
	}
}

func (m *Machine) abortAsked(e Abort) {
	reason := m.unfit()
	c := m.candidate()
	switch {
	case reason != "":
	case c == nil:
		reason = "no successor is there"
	case c.State == StateHandingOver:
		reason = fmt.Sprintf("%v is committed", c)
	case m.s.Request == nil || m.alone():
		reason = "no other generation can serve"
	}
	if reason != "" {
		m.refuse(reason, e.Caller)
		return
	}
	m.blame(c, "aborted")
	m.leave(c)
	m.conclude()
	m.answerOne(e.Caller, Verdict{Outcome: Done, Gen: c.Number})
}

// blame makes g's failure the verdict on the reload that it was started for.
func (m *Machine) blame(g *generation, reason string) {
	if r := m.s.Request; r != nil && r.Gen == g.Number {
		r.Outcome, r.Reason = Undone, reason
	}
}

// conclude ends the reload under way once a generation serves again, or none can.
func (m *Machine) conclude() {
	r, p := m.s.Request, m.incumbent()
	if r == nil || m.candidate() != nil || p != nil && p.State != StateServing {
		return
	}
	if r.Outcome == Undone && p == nil {
		r.Reason += ", and no other generation serves any more"
	}
	m.answer(Verdict{Outcome: r.Outcome, Gen: r.Gen, Reason: r.Reason})
	m.s.Request = nil
}

// answer gives all who wait for the reload under way the verdict.
func (m *Machine) answer(v Verdict) {
	r := m.s.Request
	m.s.Verdict = v
	m.log(v.Gen, LogReload, "reload%v %v", *r, v)
	m.tellReady()
	for _, caller := range r.Callers {
		m.answerOne(caller, v)
	}
	r.Callers = nil
}

func (m *Machine) answerOne(caller uint64, v Verdict) {
	if caller != 0 {
		m.do(Answer{Caller: caller, Verdict: v})
	}
}

func (m *Machine) refuse(reason string, callers ...uint64) {
	for _, caller := range callers {
		m.answerOne(caller, Verdict{Outcome: Refused, Reason: reason})
	}
}

// tellReloading begins what the service manager sees as a reload.
func (m *Machine) tellReloading() {
	if m.s.Served && !m.s.Reloading {
		m.s.Reloading = true
		m.do(TellReloading{})
	}
}

// tellReady ends it. Without, the manager would wait for ever.
func (m *Machine) tellReady() {
	if m.s.Reloading {
		m.s.Reloading = false
		m.do(TellReady{})
	}
}
