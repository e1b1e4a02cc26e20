package life

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// advance is drawn in the place of an event: the shutdown goes on.
const advance = events

// TestRules drives the machine through random lives, and holds what it does against
// the rules in the comment of the package after each event. Afterwards every life
// has to end.
func TestRules(t *testing.T) {
	var done [effects]int
	rapid.Check(t, func(t *rapid.T) {
		w := &world{fail: func(what string) { t.Fatal(what) }}
		// The rarer is what ends it, the longer is the life.
		often := rapid.SampledFrom([]int{1, 5, 50}).Draw(t, "calm")
		var all []Event
		for e := range advance + 1 {
			times := often
			switch e {
			case StartFailed, StopAsked, TaskFailed, StatesLost:
				times = 1
			}
			all = append(all, slices.Repeat([]Event{e}, times)...)
		}
		for _, e := range rapid.SliceOfN(rapid.SampledFrom(all), 100, 400).Draw(t, "happens") {
			happen(w, e)
		}
		w.finish()
		for f, n := range w.done {
			done[f] += n
		}
	})
	for _, f := range []Effect{SendReleased, SendResumed, AbandonShutdown, ResumeStates, BeginPeriod, SendStopping, Return} {
		if done[f] == 0 {
			t.Errorf("%v did not take place", f)
		}
	}
}

// happen has one thing happen, and reports whether it is an event that is taken.
func happen(w *world, e Event) bool {
	switch {
	case e >= advance:
		w.advance()
		return false
	case e == StopAsked && !w.stop && !w.stopping:
		w.stop = true
	case e == Interrupted && !w.interrupt && (w.stop || w.stopping):
		w.interrupt = true
	}
	return w.possible(e) && w.send(e)
}

// TestEveryLife goes through all that can happen, in every order: no rule is broken,
// every cell of the table is reached, and from everywhere the service can end.
func TestEveryLife(t *testing.T) {
	lives, reached := everyLife(func(what string) { t.Error(what) })
	for s := range states {
		for e := range events {
			if table[s][e] != nil && !reached[s][e] {
				t.Errorf("no life takes %v when %v", e, s)
			}
		}
	}
	t.Logf("%d lives", lives)
}

// everyLife returns how many lives there are, and which cells they reach. It stops
// once a rule is broken.
func everyLife(fail func(string)) (lives int, reached [states][events]bool) {
	seen := map[facts]bool{{}: true}
	todo := []facts{{}}
	for broken := false; len(todo) > 0 && !broken; {
		from := todo[0]
		todo = todo[1:]
		for e := range advance + 1 {
			w := world{facts: from, fail: func(what string) {
				if !broken {
					fail(fmt.Sprintf("%s, after %+v", what, from))
				}
				broken = true
			}}
			if happen(&w, e) {
				reached[from.m.State()][e] = true
			}
			w.lessen()
			if seen[w.facts] {
				continue
			}
			seen[w.facts] = true
			todo = append(todo, w.facts)
			w.finish()
		}
	}
	return len(seen), reached
}

// TestEffectsMatter: an effect that is missing in the table, or too much in it, breaks
// a rule. Where an event leads TestTable holds.
func TestEffectsMatter(t *testing.T) {
	tried := 0
	try := func(s State, e Event, do []Effect) {
		tried++
		c := table[s][e]
		defer func() { table[s][e] = c }()
		table[s][e] = &step{c.to, do}
		broken := false
		everyLife(func(string) { broken = true })
		if !broken {
			t.Errorf("no rule is broken where %v when %v leads to %v, and not %v", e, s, do, c.do)
		}
	}
	for s := range states {
		for e := range events {
			if table[s][e] == nil {
				continue
			}
			do := table[s][e].do
			for i := range do {
				try(s, e, slices.Delete(slices.Clone(do), i, i+1))
			}
			for f := range effects {
				try(s, e, append(slices.Clone(do), f))
			}
		}
	}
	t.Logf("%d tables", tried)
}
