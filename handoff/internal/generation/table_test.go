package generation

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A setup is a way to a state of the machine. Each of its generations, and each
// thing that may be asked for, is tried from there.
type setup struct {
	name   string
	o      Options
	events []Event
}

// Pieces of setups.
func ready(n uint64) Event     { return Ready{Gen: n} }
func resumable(n uint64) Event { return Ready{Gen: n, Resumable: true} }
func exit(n uint64) Event      { return Exited{Gen: n, Status: ExitStatus{Code: 3}} }

// timerOf stands for the timer that runs for a generation, or one of a kind.
type timerOf struct {
	Event
	gen  uint64
	kind TimerKind
}

func timeout(n uint64) Event   { return timerOf{gen: n} }
func ofKind(k TimerKind) Event { return timerOf{kind: k} }

func setups() []setup {
	var (
		probation = Options{Probation: time.Second}
		two       = Options{MaxGenerations: 2}
		reload    = Reload{Caller: 1}
		hold      = Reload{Caller: 1, Hold: true}
		dry       = Reload{Caller: 1, DryRun: true}
		serving   = []Event{Start{}, Spawned{1}, resumable(1)}
		plain     = []Event{Start{}, Spawned{1}, ready(1)}
		handing   = []Event{Start{}, Spawned{1}, resumable(1), reload, Spawned{2}, resumable(2)}
	)
	on := func(base []Event, more ...Event) []Event { return slices.Concat(base, more) }
	return []setup{
		{"new", Options{}, nil},
		{"first spawning", Options{}, []Event{Start{}}},
		{"first starting", Options{}, []Event{Start{}, Spawned{1}}},
		{"serving", Options{}, serving},
		{"serving, settled", Options{}, on(serving, timeout(1))},
		{"serving plainly", Options{}, plain},
		{"successor spawning", Options{}, on(serving, reload)},
		{"successor starting", Options{}, on(serving, reload, Spawned{2})},
		{"successor of a plain one", Options{}, on(plain, reload, Spawned{2})},
		{"successor spawning for a probation", probation, on(serving, reload)},
		{"successor starting for a probation", probation, on(serving, reload, Spawned{2})},
		{"probation", probation, on(serving, reload, Spawned{2}, resumable(2))},
		{"probation beside a plain one", probation, on(plain, reload, Spawned{2}, ready(2))},
		{"dry run spawning", Options{}, on(serving, dry)},
		{"dry run", Options{}, on(serving, dry, Spawned{2})},
		{"dry run over", Options{}, on(serving, dry, Spawned{2}, ready(2))},
		{"held", Options{}, on(serving, hold, Spawned{2}, resumable(2))},
		{"handing over", Options{}, handing},
		{"handing over, released", Options{}, on(handing, Released{1, 2})},
		{"handed over", Options{}, on(handing, Released{1, 2}, Taken{2})},
		{"successor failed while handing over", Options{}, on(handing, exit(2))},
		{"successor ends while handing over", Options{}, on(handing, Stopping{Gen: 2})},
		{"resuming", Options{}, on(handing, exit(2), Emptied{2})},
		{"resumed while the successor ends", Options{}, on(handing, Stopping{Gen: 2}, Resumed{1})},
		{"resuming, silent", Options{}, on(handing, exit(2), Emptied{2}, Silent{1})},
		{"resuming with a reload waiting", Options{}, on(handing, exit(2), Emptied{2}, Reload{Caller: 2})},
		{"silent", Options{}, on(serving, Silent{1})},
		{"silent, replaced", Options{}, on(serving, Silent{1}, timeout(0))},
		{"predecessor drains", Options{}, on(plain, reload, Spawned{2}, ready(2))},
		{"predecessor drained too long", Options{}, on(plain, reload, Spawned{2}, ready(2), timeout(1))},
		{"predecessor left something", Options{}, on(plain, reload, Spawned{2}, ready(2), exit(1))},
		{"spawned too late", Options{}, on(serving, reload, timeout(2))},
		{"died", Options{}, on(serving, exit(1))},
		{"died, all room taken", two, on(plain, Reload{}, ready(2), exit(2))},
		{"died, no room", two, on(plain, Reload{}, ready(2), exit(2), timeout(0))},
		{"died, respawned", Options{}, on(serving, exit(1), timeout(0))},
		{"died, respawned and starting", Options{}, on(serving, exit(1), timeout(0), Spawned{2})},
		{"no room", two, on(plain, Reload{}, Spawned{2}, ready(2), Reload{})},
		{"stopping", Options{}, on(serving, Stop{})},
		{"stopping in a hurry", Options{}, on(serving, Stop{}, Hurry{})},
		{"stopped while spawning", Options{}, []Event{Start{}, Stop{}}},
		{"stopped", Options{}, on(serving, Stop{}, Emptied{1}, exit(1))},
		{"gave up", Options{}, []Event{Start{}, Spawned{1}, exit(1)}},
	}
}

// machine returns a machine in that state.
func (s setup) machine(t *testing.T) *Machine {
	m := New(s.o)
	for _, e := range s.events {
		if of, ok := e.(timerOf); ok {
			e = of.of(t, m)
		}
		before := snap(t, m)
		if m.Handle(e); bytes.Equal(before, snap(t, m)) {
			t.Errorf("setup %q: nothing came of %v", s.name, e)
		}
	}
	return m
}

func (e timerOf) of(t *testing.T, m *Machine) Event {
	i := slices.IndexFunc(m.s.Timers, func(r timer) bool { return r.Gen == e.gen && (e.kind == 0 || r.Kind == e.kind) })
	if i < 0 {
		t.Fatalf("no timer runs for generation %d, of kind %v", e.gen, e.kind)
	}
	return TimerFired{m.s.Timers[i].ID}
}

func snap(t *testing.T, m *Machine) []byte {
	b, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A cells maps the row and the column of a table to what is found there.
type cells map[[2]string]map[string]bool

func (c cells) add(row, column, found string) {
	at := [2]string{row, column}
	if c[at] == nil {
		c[at] = make(map[string]bool)
	}
	c[at][found] = true
}

var (
	stateNames     = []string{"", "spawn", "start", "ready", "hand", "serve", "release", "resume", "drain", "kill"}
	eventNames     = []string{"Spawned", "SpawnFailed", "Ready", "Waiting", "Unfit", "Stopping", "Silent", "Extend", "Released", "Taken", "Resumed", "Exited", "Emptied", "TimerFired"}
	situationNames = []string{"new", "start", "ready", "hand", "undo", "serve", "down", "stop", "over"}
)

// TestTransitions sends every event to a generation in every state, and wants what
// the first table in the comment of the package says, no less and no more.
func TestTransitions(t *testing.T) {
	found := make(cells)
	for _, s := range setups() {
		for _, g := range s.machine(t).s.Generations {
			for kind := range eventKinds {
				for _, emptied := range []bool{false, true} {
					m := s.machine(t)
					if emptied {
						m.Handle(Emptied{g.Number})
					}
					if g := m.find(g.Number); g != nil {
						if e := eventOf(t, m, kind, g.Number); e != nil {
							state := g.State
							found.add(eventNames[kind], stateNames[state], transition(t, m, g, e))
						}
					}
				}
			}
		}
	}
	compare(t, "event", found, eventNames, stateNames[1:])
}

// eventOf returns an event of that kind, as it may happen to the generation.
func eventOf(t *testing.T, m *Machine, kind eventKind, n uint64) Event {
	to := n + 1
	if c := m.candidate(); c != nil {
		to = c.Number
	}
	if kind == onTimer {
		if !slices.ContainsFunc(m.s.Timers, func(r timer) bool { return r.Gen == n }) {
			return nil
		}
		return timerOf{gen: n}.of(t, m)
	}
	return []Event{
		Spawned{n}, SpawnFailed{n, "no such file"}, Ready{Gen: n, Resumable: true}, Waiting{n, "holds a socket and does not wait on it"}, Unfit{n, "nobody accepts"}, Stopping{Gen: n}, Silent{n}, Extend{n, time.Second},
		Released{n, to}, Taken{n}, Resumed{n}, exit(n), Emptied{n},
	}[kind]
}

// transition returns where e leads.
func transition(t *testing.T, m *Machine, g *generation, e Event) string {
	before := snap(t, m)
	effects := m.Handle(e)
	switch g := m.find(g.Number); {
	case g == nil:
		return "over"
	case len(effects) == 0 && bytes.Equal(before, snap(t, m)):
		return "-"
	default:
		return stateNames[g.State]
	}
}

var askNames = []string{"Start", "Reload", "Reload DryRun", "Commit", "Abort", "Stop", "Hurry", "TimerFired"}

// TestAsked asks for everything in every situation, and wants what the second
// table says.
func TestAsked(t *testing.T) {
	found := make(cells)
	for _, s := range setups() {
		asks := []Event{Start{}, Reload{Caller: 7}, Reload{Caller: 7, DryRun: true}, Commit{7}, Abort{7}, Stop{}, Hurry{}, timeout(0)}
		for i, e := range asks {
			m := s.machine(t)
			if of, ok := e.(timerOf); ok {
				if !m.running(BackoffTimer) {
					continue
				}
				e = of.of(t, m)
			}
			situation := situationNames[m.Situation()]
			found.add(askNames[i], situation, reaction(t, m, e))
		}
	}
	compare(t, "asked", found, askNames, situationNames)
}

// reaction returns what comes of e.
func reaction(t *testing.T, m *Machine, e Event) string {
	before := snap(t, m)
	reaction := "-"
	for _, f := range m.Handle(e) {
		switch f := f.(type) {
		case Spawn:
			return "spawn"
		case Release, TellReady:
			if _, ok := e.(Commit); ok {
				return "commit"
			}
		case TellStopping:
			return "stop"
		case SendStop:
			if _, ok := e.(Hurry); ok {
				return "hurry"
			}
		case Answer:
			if f.Caller != 7 {
				continue
			}
			if f.Outcome == Refused {
				return "refuse"
			}
			if _, ok := e.(Abort); ok {
				return "undo"
			}
		}
	}
	if !bytes.Equal(before, snap(t, m)) {
		reaction = "wait"
	}
	return reaction
}

// table reads a table out of the comment of the package: the one of which the
// first line begins with that word.
func table(t *testing.T, first string) cells {
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	want := make(cells)
	var columns []string
	for line := range strings.Lines(f.Doc.Text()) {
		words := strings.Split(strings.TrimSpace(line), "|")
		for i := range words {
			words[i] = strings.TrimSpace(words[i])
		}
		switch {
		case len(words) < 3:
			columns = nil
		case words[0] == first:
			columns = words[1:]
		case columns != nil && len(words) != len(columns)+1:
			t.Fatalf("%d columns, want %d: %s", len(words)-1, len(columns), line)
		case columns != nil:
			for i, cell := range words[1:] {
				for found := range strings.SplitSeq(cell, ",") {
					want.add(words[0], columns[i], strings.TrimSpace(found))
				}
			}
		}
	}
	return want
}

func compare(t *testing.T, first string, found cells, rows, columns []string) {
	t.Helper()
	want := table(t, first)
	for _, row := range rows {
		for _, column := range columns {
			at := [2]string{row, column}
			f, w := slices.Sorted(maps.Keys(found[at])), slices.Sorted(maps.Keys(want[at]))
			if len(f) == 0 {
				f = []string{"x"} // cannot happen
			}
			if !slices.Equal(f, w) {
				t.Errorf("%s in %s leads to %v, and the comment says %v", row, column, f, w)
			}
		}
	}
	if len(want) != len(rows)*len(columns) {
		t.Errorf("%d cells in the comment, want %d", len(want), len(rows)*len(columns))
	}
	if t.Failed() {
		t.Log(found.format(first, rows, columns))
	}
}

// format returns the table as the comment has it.
func (c cells) format(first string, rows, columns []string) string {
	var b strings.Builder
	width := func(column string) int {
		w := len(column)
		for _, row := range rows {
			w = max(w, len(strings.Join(slices.Sorted(maps.Keys(c[[2]string{row, column}])), ",")))
		}
		return w
	}
	fmt.Fprintf(&b, "\n//\t%-13s", first)
	for _, column := range columns {
		fmt.Fprintf(&b, "|%-*s", width(column), column)
	}
	for _, row := range rows {
		fmt.Fprintf(&b, "\n//\t%-13s", row)
		for _, column := range columns {
			cell := strings.Join(slices.Sorted(maps.Keys(c[[2]string{row, column}])), ",")
			if cell == "" {
				cell = "x"
			}
			fmt.Fprintf(&b, "|%-*s", width(column), cell)
		}
	}
	return b.String()
}
