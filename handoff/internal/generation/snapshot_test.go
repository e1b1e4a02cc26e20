package generation

import (
	"bytes"
	"errors"
	"reflect"
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
	for _, s := range setups() {
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
		{"unknown field", change(t, "serving", `"version":1`, `"version":1,"later":true`), ErrSnapshot, "later"},
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
