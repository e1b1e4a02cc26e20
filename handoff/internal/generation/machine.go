package generation

import (
	"fmt"
	"strings"
	"time"
)

// A Machine is the state machine of one service. Its zero value is of no use.
// One goroutine uses it at a time.
type Machine struct {
	o   Options
	s   snapshot
	out []Effect
}

// A phase of the service's life.
type phase int

const (
	phaseNew phase = iota
	phaseRunning
	phaseStopping
	phaseStopped
)

// New returns a machine that waits for Start.
func New(o Options) *Machine { return &Machine{o: o.withDefaults()} }

// Handle takes note of an event and returns what is to be done, in that order.
// The same events lead to the same effects. The slice is the caller's.
func (m *Machine) Handle(e Event) []Effect {
	m.out = nil
	if m.s.Phase == phaseStopped {
		return nil
	}
	switch e := e.(type) {
	case about:
		m.happened(e, e.generation(), e.kind())
	case TimerFired:
		m.fired(e)
	case Start:
		m.start(e)
	default:
		m.asked(e)
	}
	if m.s.Phase != phaseNew {
		m.settle()
	}
	return m.out
}

func (m *Machine) do(e ...Effect) { m.out = append(m.out, e...) }

func (m *Machine) log(gen uint64, event LogEvent, format string, args ...any) {
	m.do(Log{Gen: gen, Event: event, Text: fmt.Sprintf(format, args...)})
}

// happened handles an event in the life of a generation.
func (m *Machine) happened(e Event, number uint64, kind eventKind) {
	g := m.find(number)
	switch {
	case g != nil:
		if act := actions[g.State][kind]; act != nil {
			act(m, g, e)
		}
	case kind == onSpawned && number <= m.s.Last:
		// It took so long to make it that it had been given up.
		m.do(Kill{Gen: number})
	}
}

// An action is what one cell of the table of transitions does.
type action func(*Machine, *generation, Event)

// actions is the table of transitions: a cell that is not here is an event that
// changes nothing in that state. The comment of the package says where each leads.
var actions = [states][eventKinds]action{
	StateSpawning: {
		onSpawned:     (*Machine).spawned,
		onSpawnFailed: (*Machine).spawnFailed,
		onReady:       (*Machine).ready, // the notification overtook the other
		onExtend:      (*Machine).extend,
		onExited:      (*Machine).exited,
		onEmptied:     (*Machine).emptied,
		onTimer:       (*Machine).waited,
	},
	StateStarting: {
		onReady:    (*Machine).ready,
		onWaiting:  (*Machine).waiting,
		onUnfit:    (*Machine).unfitting,
		onStopping: (*Machine).stopping,
		onSilent:   (*Machine).silent, // it has said that it is ready, and more is wanted
		onExtend:   (*Machine).extend,
		onExited:   (*Machine).exited,
		onEmptied:  (*Machine).emptied,
		onTimer:    (*Machine).waited,
	},
	StateReady: {
		onUnfit:    (*Machine).unfitting,
		onStopping: (*Machine).stopping,
		onSilent:   (*Machine).silent,
		onExited:   (*Machine).exited,
		onEmptied:  (*Machine).emptied,
		onTimer:    (*Machine).waited,
	},
	StateHandingOver: {
		onUnfit:    (*Machine).unfitting,
		onStopping: (*Machine).stopping,
		onSilent:   (*Machine).silent,
		onExtend:   (*Machine).extend,
		onTaken:    (*Machine).taken,
		onExited:   (*Machine).exited,
		onEmptied:  (*Machine).emptied,
		onTimer:    (*Machine).waited,
	},
	StateServing: {
		onStopping: (*Machine).stopping,
		onSilent:   (*Machine).silent,
		onExited:   (*Machine).exited,
		onEmptied:  (*Machine).emptied,
		onTimer:    (*Machine).waited,
	},
	StateReleasing: {
		onStopping: (*Machine).stopping,
		onSilent:   (*Machine).silent,
		onExtend:   (*Machine).extend,
		onReleased: (*Machine).released,
		onExited:   (*Machine).exited,
		onEmptied:  (*Machine).emptied,
		onTimer:    (*Machine).waited,
	},
	StateResuming: {
		onStopping: (*Machine).stopping,
		onSilent:   (*Machine).silent,
		onExtend:   (*Machine).extend,
		onResumed:  (*Machine).resumed,
		onExited:   (*Machine).exited,
		onEmptied:  (*Machine).emptied,
		onTimer:    (*Machine).waited,
	},
	StateDraining: {
		onExtend:  (*Machine).extend,
		onExited:  (*Machine).exited,
		onEmptied: (*Machine).emptied,
		onTimer:   (*Machine).waited,
	},
	StateKilling: {
		onSpawned:     (*Machine).spawned,
		onSpawnFailed: (*Machine).spawnFailed,
		onExited:      (*Machine).exited,
		onEmptied:     (*Machine).emptied,
		onTimer:       (*Machine).waited,
	},
}

// settle does what follows from the state that an event has led to.
func (m *Machine) settle() {
	if m.s.Phase == phaseRunning {
		m.proceed()
		m.conclude()
		m.schedule()
	}
	m.route()
	m.own()
	if m.s.Phase == phaseStopping && len(m.s.Generations) == 0 {
		m.s.Phase = phaseStopped
		m.do(Exit{Status: m.s.Exit, Reason: m.s.GaveUp})
		return
	}
	if text := m.status(); text != m.s.Status {
		m.s.Status = text
		m.do(TellStatus{Text: text})
	}
}

// route makes what is stored go to the generation that is the service, or about
// to be.
func (m *Machine) route() {
	var to uint64
	if c := m.candidate(); c != nil && c.State == StateHandingOver {
		to = c.Number
	} else if p := m.incumbent(); p != nil && p.State != StateReleasing {
		to = p.Number
	}
	if to != m.s.Target {
		m.s.Target = to
		m.do(Deliver{To: to})
	}
}

// own tells the generation that serves when no other holds anything.
func (m *Machine) own() {
	p := m.incumbent()
	if p == nil || p.State != StateServing || p.Owned {
		return
	}
	if m.first(func(g *generation) bool { return g.State >= StateDraining && !g.Released }) == nil {
		p.Owned = true
		m.do(Own{Gen: p.Number})
	}
}

// status returns the service in one line.
func (m *Machine) status() string {
	var parts []string
	for _, g := range m.s.Generations {
		parts = append(parts, fmt.Sprintf("%v %v", g, g.State))
		if g.Silent {
			parts[len(parts)-1] += " (silent)"
		}
	}
	down := m.Down()
	if len(parts) == 0 && down == "" {
		parts = append(parts, "no generation")
	}
	if m.s.GaveUp != "" {
		parts = append(parts, "giving up: "+m.s.GaveUp)
	}
	text := strings.Join(parts, ", ")
	if down != "" {
		text = strings.TrimSuffix("down: "+down+"; "+text, "; ")
	}
	if m.s.Verdict.Outcome != 0 {
		text += fmt.Sprintf("; last reload %v", m.s.Verdict)
	}
	return text
}

// Down says why nothing serves any more, and what comes next, such as "generation 18
// exited 1 after 0.2 s, next start in 10 s"; "" is that something serves, or has not yet
// for the first time.
func (m *Machine) Down() string {
	if m.s.Phase != phaseRunning || m.incumbent() != nil || m.s.Down == "" {
		return ""
	}
	switch {
	case m.candidate() != nil:
		return m.s.Down
	case m.running(BackoffTimer):
		return fmt.Sprintf("%s, next start in %s", m.s.Down, seconds(m.o.backoff(m.s.Deaths)))
	}
	return fmt.Sprintf("%s, next start once another generation has ended", m.s.Down)
}

// Status returns the last TellStatus's text.
func (m *Machine) Status() string { return m.s.Status }

// seconds writes a duration with as many digits as matter.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// Generations returns those that are not over, oldest first.
func (m *Machine) Generations() []Info {
	infos := make([]Info, 0, len(m.s.Generations))
	for _, g := range m.s.Generations {
		infos = append(infos, Info{Number: g.Number, State: g.State, Program: g.Program, Silent: g.Silent, Owns: g.Owned})
	}
	return infos
}

// LastVerdict returns what became of the last reload. Its Outcome is 0 while
// there was none.
func (m *Machine) LastVerdict() Verdict { return m.s.Verdict }
