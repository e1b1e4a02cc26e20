package generation

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// bears restores b, and wants of a machine that comes of it that it writes the
// same again, bears what choice picks of the events, and comes to rest by its
// timers. It reports whether there was one.
func bears(t *testing.T, b []byte, choice uint64) bool {
	m, err := Restore(Options{}, b)
	if err != nil {
		if !errors.Is(err, ErrSnapshot) && !errors.Is(err, ErrVersion) {
			t.Fatal(err)
		}
		return false
	}
	again := snap(t, m)
	r, err := Restore(Options{}, again)
	if err != nil || !bytes.Equal(snap(t, r), again) {
		t.Fatalf("%v: %s", err, again)
	}
	events := []Event{Reload{Caller: 9}, Reload{Caller: 10, DryRun: true}, Commit{11}, Abort{12}, Start{}, Stop{}}
	for _, g := range m.s.Generations {
		for kind := range eventKinds {
			if e := eventOf(t, m, kind, g.Number); e != nil {
				events = append(events, e)
			}
		}
	}
	for i := range events {
		if e := events[(i+int(choice%64))%len(events)]; choice>>(i%64)&1 == 1 && (e != Stop{} || choice%7 == 0) {
			m.Handle(e)
		}
	}
	for fired := 0; len(m.s.Timers) > 0; fired++ {
		if fired > 10000 {
			t.Fatalf("timers fire for ever: %s", snap(t, m))
		}
		m.Handle(TimerFired{m.s.Timers[0].ID})
	}
	return true
}

func FuzzRestore(f *testing.F) {
	for _, s := range setups() {
		m := New(s.o)
		for _, e := range s.events {
			if _, ok := e.(timerOf); !ok {
				m.Handle(e)
			}
		}
		b, err := m.Snapshot()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint64(len(b)))
	}
	f.Fuzz(func(t *testing.T, b []byte, choice uint64) { bears(t, b, choice) })
}

// TestRestoreAltered changes snapshots where they are most likely to be still
// accepted.
func TestRestoreAltered(t *testing.T) {
	all := setups()
	accepted, refused := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		s := all[rapid.IntRange(0, len(all)-1).Draw(r, "setup")].machine(t).s
		s.Version = snapshotVersion
		for range rapid.IntRange(0, 4).Draw(r, "changes") {
			alter(r, &s)
		}
		b, err := json.Marshal(s)
		if err != nil {
			r.Fatal(err)
		}
		if bears(t, b, rapid.Uint64().Draw(r, "events")) {
			accepted++
		} else {
			refused++
		}
	})
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted, %d refused: want both", accepted, refused)
	}
}

// alter changes one thing in s.
func alter(r *rapid.T, s *snapshot) {
	if n := len(s.Generations); n > 0 && rapid.Bool().Draw(r, "generation") {
		g := *s.Generations[rapid.IntRange(0, n-1).Draw(r, "of")]
		for i := range s.Generations {
			if s.Generations[i].Number == g.Number {
				s.Generations[i] = &g
			}
		}
		flags := []*bool{&g.Resumable, &g.Spawned, &g.Exited, &g.Emptied, &g.Silent, &g.Released, &g.Owned, &g.Final}
		if i := rapid.IntRange(-1, len(flags)-1).Draw(r, "flag"); i >= 0 {
			*flags[i] = !*flags[i]
		} else {
			g.State = State(rapid.IntRange(0, int(states)).Draw(r, "state"))
		}
		return
	}
	switch rapid.IntRange(0, 8).Draw(r, "what") {
	case 0:
		s.Phase = phase(rapid.IntRange(-1, 4).Draw(r, "phase"))
	case 1:
		s.Request = &request{Gen: rapid.Uint64Max(3).Draw(r, "gen"), Held: rapid.Bool().Draw(r, "held"), DryRun: rapid.Bool().Draw(r, "dry run")}
	case 2:
		s.Request = nil
	case 3:
		s.Due = !s.Due
	case 4:
		s.Served = !s.Served
	case 5:
		s.Deaths = rapid.IntRange(-1, 20).Draw(r, "deaths")
	case 6:
		s.Target = rapid.Uint64Max(3).Draw(r, "target")
	case 7:
		if n := len(s.Timers); n > 0 {
			t := &s.Timers[rapid.IntRange(0, n-1).Draw(r, "timer")]
			t.Kind = TimerKind(rapid.IntRange(0, int(timerKinds)).Draw(r, "kind"))
		}
	case 8:
		s.Waiting = append(s.Waiting, request{DryRun: rapid.Bool().Draw(r, "waiting dry run")})
	}
}
