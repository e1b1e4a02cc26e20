package generation

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestSnapshot goes on from a snapshot of every setup.
func TestSnapshot(t *testing.T) {
	for _, s := range setups() {
		t.Run(s.name, func(t *testing.T) {
			m := s.machine(t)
			b := snap(t, m)
			r, err := Restore(s.o, b)
			if err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			if again := snap(t, r); !bytes.Equal(b, again) {
				t.Errorf("wrote %s, and then %s", b, again)
			}
			if m.Situation() != r.Situation() || !reflect.DeepEqual(m.Generations(), r.Generations()) || m.LastVerdict() != r.LastVerdict() {
				t.Errorf("%v %v, want %v %v", r.Situation(), r.Generations(), m.Situation(), m.Generations())
			}
			for _, e := range []Event{Reload{Caller: 9}, Abort{10}, Emptied{1}, exit(1), TimerFired{m.s.LastTimer}, Stop{}} {
				if want, got := m.Handle(e), r.Handle(e); !reflect.DeepEqual(got, want) {
					t.Errorf("%v leads to %v, want %v", e, got, want)
				}
			}
		})
	}
}

// change returns a snapshot of a setup with a part replaced by another.
func change(t *testing.T, name, old, with string) string {
	for _, s := range slices.Concat(setups(), lives()) {
		if s.name == name {
			b := string(snap(t, s.machine(t)))
			if strings.Count(b, old) != 1 {
				t.Fatalf("%d times %q in %s", strings.Count(b, old), old, b)
			}
			return strings.Replace(b, old, with, 1)
		}
	}
	t.Fatalf("no setup %q", name)
	return ""
}

func TestRestoreRefuses(t *testing.T) {
	for _, test := range []struct {
		name, snapshot string
		want           error
		says           string
	}{
		{"nothing", ``, ErrSnapshot, "EOF|unexpected end"},
		{"no object", `[]`, ErrSnapshot, "cannot unmarshal"},
		{"no version", `{}`, ErrVersion, "0, want 1"},
		{"newer version", change(t, "serving", `"version":1`, `"version":2,"later":true`), ErrVersion, "2, want 1"},
		{"more than one", change(t, "new", `"version"`, `"version"`) + `{}`, ErrSnapshot, "after top-level value"},
		{"phase", change(t, "new", `"phase":0`, `"phase":7`), ErrSnapshot, "phase 7"},
		{"deaths", change(t, "died", `"deaths":1`, `"deaths":-1`), ErrSnapshot, "-1 deaths"},
		{"generation from the future", change(t, "serving", `"last":1`, `"last":0`), ErrSnapshot, "in order"},
		{"null generation", change(t, "stopped", `"phase":3`, `"phase":1,"generations":[null]`), ErrSnapshot, "in order"},
		{"state", change(t, "serving", `"state":5`, `"state":99`), ErrSnapshot, "state 99"},
		{"alive though stopped", change(t, "serving", `"phase":1`, `"phase":3`), ErrSnapshot, "in phase 3"},
		{"two incumbents", change(t, "handing over", `"state":4`, `"state":5`), ErrSnapshot, "generation 1 is releasing, and generation 2 serving"},
		{"handover without predecessor", change(t, "handing over", `"state":6`, `"state":8`), ErrSnapshot, "both sides"},
		{"nobody asked", change(t, "handing over", `"request":{"callers":[1],"gen":2},`, ``), ErrSnapshot, "nobody has asked"},
		{"another's reload", change(t, "handing over", `"gen":2},"r`, `"gen":1},"r`), ErrSnapshot, "by generation 1"},
		{"wait without a timer", change(t, "serving, settled", `"state":5`, `"state":8`), ErrSnapshot, "draining, with timers []"},
		{"timer from the future", change(t, "serving", `"last_timer":2`, `"last_timer":1`), ErrSnapshot, "timer 2"},
		{"timer of nobody", change(t, "serving", `"gen":1}]`, `"gen":9}]`), ErrSnapshot, "of generation 9"},
		{"wrong timer", change(t, "serving", `"kind":9`, `"kind":1`), ErrSnapshot, "with timers [ready]"},
		{"ended twice", change(t, "predecessor left something", `"exited":true`, `"exited":true,"emptied":true`), ErrSnapshot, "has ended"},
		{"time to give up, and nothing died", change(t, "a crash loop begins", `"deaths":1,`, ``), ErrSnapshot, "of generation 0"},
		{"time to give up once more", change(t, "a crash loop begins", `"deaths":1,`, `"deaths":1,"give_up":true,`), ErrSnapshot, "of generation 0"},
		{"a field of another type", change(t, "serving", `"status":"generation 1 serving"`, `"status":7`), ErrSnapshot, "cannot unmarshal"},
		{"phase before the first", change(t, "new", `"phase":0`, `"phase":-1`), ErrSnapshot, "phase -1"},
		{"too many generations", change(t, "serving", `"last":1`, `"last":4611686018427387905`), ErrSnapshot, "4611686018427387905 generations"},
		{"too many timers", change(t, "serving", `"last_timer":2`, `"last_timer":4611686018427387905`), ErrSnapshot, "4611686018427387905 timers"},
		{"generations the wrong way round", change(t, "predecessor drains", `[{"number":1`, `[{"number":2`), ErrSnapshot, "in order"},
		{"no state", change(t, "serving", `"state":5`, `"state":0`), ErrSnapshot, "state 0"},
		{"state behind the last", change(t, "serving", `"state":5`, `"state":10`), ErrSnapshot, "state 10"},
		{"alive before the start", change(t, "serving", `"phase":1`, `"phase":0`), ErrSnapshot, "in phase 0"},
		{"serving while it stops", change(t, "serving", `"phase":1`, `"phase":2`), ErrSnapshot, "in phase 2"},
		{"ended, and draining", change(t, "predecessor drains", `"state":8,"spawned":true`, `"state":8,"spawned":true,"exited":true`), ErrSnapshot, "has ended"},
		{"made, and spawning", change(t, "first spawning", `"state":1`, `"state":1,"spawned":true`), ErrSnapshot, "process was made: true"},
		{"resuming beside a candidate", change(t, "successor starting", `"state":5`, `"state":7`), ErrSnapshot, "generation 2 is starting, while generation 1 is resuming"},
		{"ready where nobody serves", change(t, "probation beside a plain one", `"state":5`, `"state":8`), ErrSnapshot, "waits for a commit without need"},
		{"ready beside a silent one", change(t, "probation beside a plain one", `"state":5`, `"state":5,"silent":true`), ErrSnapshot, "waits for a commit without need"},
		{"ready, and nobody asked", change(t, "probation beside a plain one", `"request":{"callers":[1],"gen":2},`, ``), ErrSnapshot, "nobody has asked"},
		{"resuming, and nobody asked", change(t, "resuming", `"request":{"callers":[1],"gen":2,"outcome":3,"reason":"its main process ended: exit status 3"},`, ``), ErrSnapshot, "nobody has asked"},
		{"replaced without a reason", change(t, "successor starting", `"request":{"callers":[1],"gen":2},`, ``), ErrSnapshot, "without a reason"},
		{"a reload without a generation", change(t, "serving", `"served":true`, `"request":{},"served":true`), ErrSnapshot, "without a generation"},
		{"too many reloads", change(t, "serving", `"served":true`, `"waiting":[{}`+strings.Repeat(`,{}`, maxWaiting)+`],"served":true`), ErrSnapshot, "9 reloads wait"},
		{"too many callers", change(t, "serving", `"served":true`, `"waiting":[{"callers":[1`+strings.Repeat(`,1`, maxCallers)+`]}],"served":true`), ErrSnapshot, "257 callers wait"},
		{"a timer without a number", change(t, "serving", `"id":2`, `"id":0`), ErrSnapshot, "timer 0"},
		{"a timer twice", change(t, "predecessor drains", `"id":4`, `"id":5`), ErrSnapshot, "timer 5"},
		{"a pause while it stops", change(t, "stopping", `"gen":1}]`, `"gen":1},{"id":2,"kind":10}]`), ErrSnapshot, "of generation 0"},
		{"a service's timer that is no pause", change(t, "serving", `"gen":1}]`, `"gen":1},{"id":1,"kind":9}]`), ErrSnapshot, "of generation 0"},
		{"two timers of one", change(t, "serving", `"gen":1}]`, `"gen":1},{"id":1,"kind":9,"gen":1}]`), ErrSnapshot, "with timers [settle settle]"},
		{"no process", change(t, "serving", `"spawned":true,`, ``), ErrSnapshot, "process was made: false"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := Restore(Options{}, []byte(test.snapshot))
			if !errors.Is(err, test.want) || m != nil {
				t.Fatalf("%v, want %v", err, test.want)
			}
			for says := range strings.SplitSeq(test.says, "|") {
				if strings.Contains(err.Error(), says) {
					return
				}
			}
			t.Errorf("%v, want it to say %q", err, test.says)
		})
	}
}

// TestRestoreAccepts: what is at the limits is still what a machine may have written.
func TestRestoreAccepts(t *testing.T) {
	for _, snapshot := range []string{
		change(t, "serving", `"last":1`, `"last":4611686018427387904`),
		change(t, "serving", `"last_timer":2`, `"last_timer":4611686018427387904`),
		change(t, "serving", `"served":true`, `"waiting":[{}`+strings.Repeat(`,{}`, maxWaiting-1)+`],"served":true`),
		change(t, "serving", `"served":true`, `"waiting":[{"callers":[1`+strings.Repeat(`,1`, maxCallers-1)+`]}],"served":true`),
	} {
		if _, err := Restore(Options{}, []byte(snapshot)); err != nil {
			t.Errorf("%v: %s", err, snapshot)
		}
	}
}

// TestStopForgets: a service that stops remembers none of what it was asked for.
func TestStopForgets(t *testing.T) {
	m := New(Options{MaxGenerations: 2})
	for _, e := range []Event{Start{}, ready(1), Reload{}, ready(2), exit(2)} {
		m.Handle(e)
	}
	m.Handle(timeout(0).(timerOf).of(t, m)) // a respawn is due, and there is no room
	m.Handle(Reload{Caller: 1})
	for _, what := range []string{`"due"`, `"waiting"`} {
		if b := snap(t, m); !bytes.Contains(b, []byte(what)) {
			t.Errorf("the test lacks %s: %s", what, b)
		}
	}
	m.Handle(Stop{})
	under := New(Options{})
	for _, e := range []Event{Start{}, ready(1), Reload{Caller: 1}, Stop{}} {
		under.Handle(e)
	}
	if b := snap(t, under); bytes.Contains(b, []byte(`"request"`)) {
		t.Errorf("a reload under way is left: %s", b)
	}
	for _, what := range []string{`"due"`, `"waiting"`, `"request"`} {
		if b := snap(t, m); bytes.Contains(b, []byte(what)) {
			t.Errorf("%s is left: %s", what, b)
		}
	}
}

// TestRestoreLaterSnapshot: a field that a later program writes is ignored.
func TestRestoreLaterSnapshot(t *testing.T) {
	for _, later := range []string{
		change(t, "serving", `"version":1`, `"version":1,"later":true`),
		change(t, "serving", `{"number":1`, `{"later":[1],"number":1`),
	} {
		m, err := Restore(Options{}, []byte(later))
		if err != nil {
			t.Fatalf("%v: %s", err, later)
		}
		for _, s := range setups() {
			if s.name == "serving" && !bytes.Equal(snap(t, m), snap(t, s.machine(t))) {
				t.Errorf("goes on with %s", snap(t, m))
			}
		}
	}
}

// TestSnapshotAfterWaiting: why a generation was not ready is forgotten once it is: a
// handoffd that does not know the field refuses a snapshot with it.
func TestSnapshotAfterWaiting(t *testing.T) {
	m := New(Options{})
	for _, e := range []Event{Start{}, Spawned{1}, Waiting{1, "does not listen"}} {
		m.Handle(e)
	}
	if b := snap(t, m); !bytes.Contains(b, []byte(`"why"`)) {
		t.Errorf("while it waits the snapshot is %s", b)
	}
	m.Handle(Ready{Gen: 1})
	m.Handle(Waiting{1, "late"})
	if b := snap(t, m); bytes.Contains(b, []byte(`"why"`)) {
		t.Errorf("once it serves the snapshot is %s", b)
	}
}
