package generation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A beat is an event and all that comes of it, but the status and the log.
type beat struct {
	event   Event
	effects string
}

// TestScenarios tells lives of a service in full.
func TestScenarios(t *testing.T) {
	died := func(n uint64, effects string) []beat {
		return []beat{{Emptied{n}, ""}, {exit(n), effects}}
	}
	join := func(parts ...[]beat) (all []beat) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	start := []beat{
		{Start{Last: 6}, "spawn 7 of the program, with what waits; timer 1: ready of 7 in 1m30s"},
		{Spawned{7}, ""},
		{resumable(7), "timer 1: cancelled; deliver to 7; timer 2: settle of 7 in 10s; READY=1; 7 owns"},
	}
	successor := []beat{
		{Reload{Caller: 1}, "RELOADING=1; spawn 8 of the program; timer 3: ready of 8 in 1m30s"},
		{Spawned{8}, ""},
		{resumable(8), "timer 3: cancelled; deliver to 8; timer 2: cancelled; let 7 release to 8; timer 4: release of 7 in 5s"},
	}
	for _, test := range []struct {
		name  string
		o     Options
		beats []beat
	}{
		{"a stop with an exit status", Options{}, join(start, []beat{
			{Stop{}, "STOPPING=1; timer 2: cancelled; timer 3: drain of 7 in 1m0s; stop 7; deliver to 0"},
			{exit(7), "timer 3: cancelled; kill 7; timer 4: kill of 7 in 10s"},
			{Emptied{7}, "timer 4: cancelled; reclaim from 7; forget 7; exit: exit status 3"},
			{Stop{}, ""},
		})},
		{"a stop in a hurry", Options{DrainTimeout: time.Second}, join(start, []beat{
			{Hurry{}, ""},
			{Stop{}, "STOPPING=1; timer 2: cancelled; timer 3: drain of 7 in 1s; stop 7; deliver to 0"},
			{Extend{7, time.Minute}, "timer 3: not within 1m0s"},
			{Hurry{}, "timer 3: cancelled; stop 7; timer 4: hurry of 7 in 1s"},
			{Hurry{}, ""},
			{Extend{7, time.Minute}, ""},
			{TimerFired{4}, "kill 7; timer 5: kill of 7 in 10s"},
			{Hurry{}, ""},
		})},
		{"a reload", Options{}, join(start, successor, []beat{
			{Released{7, 8}, "timer 4: cancelled; reclaim from 7; await that 8 has taken all; timer 5: take of 8 in 30s"},
			{Taken{8}, "timer 6: drain of 7 in 1m0s; stop 7; timer 5: cancelled; timer 7: settle of 8 in 10s; READY=1; answer caller 1: done, generation 8; 8 owns"},
			{Emptied{7}, ""},
			{Exited{Gen: 7}, "timer 6: cancelled; reclaim from 7; forget 7"},
		})},
		{"a successor dies while handing over", Options{}, join(start, successor, []beat{
			{exit(8), "kill 8; timer 5: kill of 8 in 10s; timer 4: cancelled; deliver to 7; reclaim from 7; let 7 resume; timer 6: resume of 7 in 30s"},
			{Reload{Caller: 2, Program: "/bin/next"}, ""},
			{Emptied{8}, "timer 5: cancelled; reclaim from 8; forget 8"},
			{Resumed{7}, "timer 6: cancelled; timer 7: settle of 7 in 10s; READY=1; answer caller 1: undone, generation 8: its main process ended: exit status 3; " +
				`RELOADING=1; spawn 9 of "/bin/next"; timer 8: ready of 9 in 1m30s`},
		})},
		{"a successor takes too long", Options{}, join(start, successor, []beat{
			{Released{7, 8}, "timer 4: cancelled; reclaim from 7; await that 8 has taken all; timer 5: take of 8 in 30s"},
			{TimerFired{5}, "timer 6: drain of 8 in 30s; stop 8; deliver to 7; let 7 resume; timer 7: resume of 7 in 30s"},
			{Resumed{7}, "timer 7: cancelled; timer 8: settle of 7 in 10s; READY=1; answer caller 1: undone, generation 8: it did not take in time what its predecessor left"},
			{Taken{8}, ""},
			{exit(8), "timer 6: cancelled; kill 8; timer 9: kill of 8 in 10s"},
			{Emptied{8}, "timer 9: cancelled; reclaim from 8; forget 8"},
		})},
		{"a predecessor does not release in time", Options{}, join(start, successor, []beat{
			{TimerFired{4}, "timer 5: drain of 7 in 1m0s; stop 7; timer 6: settle of 8 in 10s; READY=1; answer caller 1: done, generation 8"},
			{Released{7, 8}, ""},
			{Emptied{7}, ""},
			{Exited{Gen: 7}, "timer 5: cancelled; reclaim from 7; forget 7; 8 owns"},
		})},
		{"a dry run", Options{}, join(start, []beat{
			{Reload{Caller: 1, DryRun: true}, "RELOADING=1; spawn 8 of the program; timer 3: ready of 8 in 1m30s"},
			{ready(8), "timer 3: cancelled; timer 4: drain of 8 in 1m0s; stop 8; READY=1; answer caller 1: done, generation 8: a dry run: it became ready, and was stopped again"},
		})},
		{"a hold that ends too late, and another program that is kept", Options{MaxDeaths: 3}, join(start, []beat{
			{Reload{Caller: 1, Hold: true}, "RELOADING=1; spawn 8 of the program; timer 3: ready of 8 in 1m30s"},
			{ready(8), "timer 3: cancelled; timer 4: hold of 8 in 10m0s; READY=1; answer caller 1: held, generation 8"},
			{TimerFired{4}, "timer 5: drain of 8 in 1m0s; stop 8"},
			{Commit{2}, "answer caller 2: refused: no generation is ready for a commit"},
			{Reload{Caller: 3, Hold: true, Program: "/bin/next"}, `RELOADING=1; spawn 9 of "/bin/next"; timer 6: ready of 9 in 1m30s`},
			{ready(9), "timer 6: cancelled; timer 7: hold of 9 in 10m0s; READY=1; answer caller 3: held, generation 9"},
			{Silent{7}, "timer 2: cancelled; RELOADING=1; timer 8: drain of 7 in 1m0s; stop 7; timer 7: cancelled; deliver to 9; timer 9: settle of 9 in 10s; READY=1"},
			{Emptied{9}, ""},
			{exit(9), "timer 9: cancelled; deliver to 0; reclaim from 9; forget 9; timer 10: backoff of 0 in 200ms"},
			{TimerFired{10}, `spawn 10 of "/bin/next", with what waits; timer 11: ready of 10 in 1m30s`},
		})},
		{"deaths, forgotten once a generation has settled", Options{MaxDeaths: 3}, join(start,
			died(7, "timer 2: cancelled; deliver to 0; reclaim from 7; forget 7; timer 3: backoff of 0 in 100ms"), []beat{
				{TimerFired{3}, "spawn 8 of the program, with what waits; timer 4: ready of 8 in 1m30s"},
				{SpawnFailed{8, "no such file"}, "timer 4: cancelled; reclaim from 8; forget 8; timer 5: backoff of 0 in 200ms"},
				{TimerFired{5}, "spawn 9 of the program, with what waits; timer 6: ready of 9 in 1m30s"},
				{ready(9), "timer 6: cancelled; deliver to 9; timer 7: settle of 9 in 10s; 9 owns"},
				{TimerFired{7}, ""},
			}, died(9, "deliver to 0; reclaim from 9; forget 9; timer 8: backoff of 0 in 100ms"), []beat{
				{TimerFired{8}, "spawn 10 of the program, with what waits; timer 9: ready of 10 in 1m30s"},
				{ready(10), "timer 9: cancelled; deliver to 10; timer 10: settle of 10 in 10s; 10 owns"},
			}, died(10, "timer 10: cancelled; deliver to 0; reclaim from 10; forget 10; timer 11: backoff of 0 in 200ms"), []beat{
				{Reload{Caller: 1}, "timer 11: cancelled; RELOADING=1; spawn 11 of the program, with what waits; timer 12: ready of 11 in 1m30s"},
				{SpawnFailed{11, "no such file"}, "timer 12: cancelled; reclaim from 11; forget 11; READY=1; " +
					"answer caller 1: undone, generation 11: could not be started: no such file, and no other generation serves any more; STOPPING=1; " +
					"exit: exit status 1: 3 generations died, each before it had served for 10s"},
			})},
		{"the oldest gives way", Options{MaxGenerations: 3}, []beat{
			{Start{}, "spawn 1 of the program, with what waits; timer 1: ready of 1 in 1m30s"},
			{ready(1), "timer 1: cancelled; deliver to 1; timer 2: settle of 1 in 10s; READY=1; 1 owns"},
			{Reload{}, "RELOADING=1; spawn 2 of the program; timer 3: ready of 2 in 1m30s"},
			{ready(2), "timer 3: cancelled; timer 2: cancelled; timer 4: drain of 1 in 1m0s; stop 1; deliver to 2; timer 5: settle of 2 in 10s; READY=1"},
			{Reload{}, "RELOADING=1; spawn 3 of the program; timer 6: ready of 3 in 1m30s"},
			{ready(3), "timer 6: cancelled; timer 5: cancelled; timer 7: drain of 2 in 1m0s; stop 2; deliver to 3; timer 8: settle of 3 in 10s; READY=1"},
			{Reload{}, "timer 4: cancelled; kill 1; timer 9: kill of 1 in 10s"},
			{exit(1), ""},
			{Emptied{1}, "timer 9: cancelled; reclaim from 1; forget 1; RELOADING=1; spawn 4 of the program; timer 10: ready of 4 in 1m30s"},
			{Extend{2, time.Minute}, "timer 7: not within 1m0s"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := New(test.o)
			for i, b := range test.beats {
				var effects []string
				for _, f := range m.Handle(b.event) {
					switch f.(type) {
					case TellStatus, Log:
						if !strings.Contains(fmt.Sprint(f), "generation") {
							t.Errorf("beat %d: %v", i, f)
						}
					default:
						effects = append(effects, fmt.Sprint(f))
					}
				}
				if got := strings.Join(effects, "; "); got != b.effects {
					t.Fatalf("beat %d, %v:\n got %s\nwant %s", i, b.event, got, b.effects)
				}
			}
		})
	}
}

// TestCaps fills what callers can fill.
func TestCaps(t *testing.T) {
	m := New(Options{})
	m.Handle(Start{})
	caller := uint64(0)
	refused := func(r Reload) int {
		n := 0
		for range 2 * maxCallers {
			caller++
			r.Caller = caller
			for _, f := range m.Handle(r) {
				if a, ok := f.(Answer); ok && a.Outcome == Refused && a.Caller == caller {
					n++
				}
			}
		}
		return n
	}
	for i := range maxWaiting {
		if n := refused(Reload{Program: fmt.Sprint("/bin/", i)}); n != maxCallers {
			t.Errorf("reload %d: %d callers were refused, want %d", i, n, maxCallers)
		}
	}
	if n := refused(Reload{}); n != 2*maxCallers {
		t.Errorf("%d callers were refused beyond the cap on reloads, want %d", n, 2*maxCallers)
	}
	answered := 0
	for _, f := range m.Handle(Stop{}) {
		if _, ok := f.(Answer); ok {
			answered++
		}
	}
	if answered != maxWaiting*maxCallers {
		t.Errorf("the stop answered %d callers, want %d", answered, maxWaiting*maxCallers)
	}
}

// TestCallersCap: each caller is answered once, however often it asked, and signals
// take no caller's place; a commit takes no more callers than a reload.
func TestCallersCap(t *testing.T) {
	m := New(Options{})
	for _, e := range []Event{Start{}, ready(1), Reload{}, Reload{}} { // the second waits
		m.Handle(e)
	}
	answers := func(effects []Effect) (callers []uint64) {
		for _, f := range effects {
			if a, ok := f.(Answer); ok {
				callers = append(callers, a.Caller)
			}
		}
		return callers
	}
	var want []uint64
	for n := range uint64(maxCallers) {
		want = append(want, n+1)
		for range 2 {
			if got := answers(m.Handle(Reload{Caller: n + 1})); got != nil {
				t.Fatalf("caller %d is answered at once", n+1)
			}
		}
	}
	m.Handle(ready(2))
	if got := answers(m.Handle(ready(3))); !slices.Equal(got, want) {
		t.Errorf("callers %v are answered, want each once", got)
	}

	m = New(Options{})
	for _, e := range []Event{Start{}, resumable(1), Reload{Caller: 1}, ready(2)} {
		m.Handle(e)
	}
	for n := range uint64(maxCallers) {
		if got := answers(m.Handle(Commit{n + 1})); got != nil {
			t.Fatalf("caller %d is answered at once", n+1)
		}
	}
	effects := m.Handle(Commit{maxCallers + 1})
	if text := fmt.Sprint(effects); len(effects) != 1 || !strings.Contains(text, "refused: 256 callers wait for this commit") {
		t.Errorf("beyond the cap: %v", text)
	}
}

// TestOptions: what makes no sense is as good as not said.
func TestOptions(t *testing.T) {
	defaults := New(Options{}).o
	if got := New(Options{
		ReadyTimeout: -1, Probation: -1, HoldTimeout: -1, ReleaseTimeout: -1, HandoverTimeout: -1, DrainTimeout: -1, HurryTimeout: -1, KillTimeout: -1,
		MinBackoff: -1, MaxBackoff: -1, SettleAfter: -1, MaxDeaths: -1, MaxGenerations: -1,
	}).o; got != defaults {
		t.Errorf("negative: %+v", got)
	}
	for _, c := range []struct{ o, want Options }{
		{Options{MaxGenerations: 1}, Options{MaxGenerations: 2}},
		{Options{MinBackoff: time.Minute}, Options{MinBackoff: time.Minute, MaxBackoff: time.Minute}},
	} {
		if got := New(c.o).o; got != New(c.want).o || c.want.MaxBackoff != 0 && got.MaxBackoff != c.want.MaxBackoff {
			t.Errorf("%+v becomes %+v", c.o, got)
		}
	}
	o := New(Options{MinBackoff: time.Second, MaxBackoff: 5 * time.Second}).o
	var pauses []time.Duration
	for deaths := range 6 {
		pauses = append(pauses, o.backoff(deaths)/time.Second)
	}
	if want := []time.Duration{1, 1, 2, 4, 5, 5}; !slices.Equal(pauses, want) {
		t.Errorf("pauses of %d s, want %d", pauses, want)
	}
}

// TestNames: what a log says of a number that has no name.
func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{State(0).String(), "unknown (0)"},
		{State(-1).String(), "unknown (-1)"},
		{StateSpawning.String(), "spawning"},
		{StateKilling.String(), "killing"},
		{states.String(), "unknown (10)"},
		{ServiceNew.String(), "new"},
		{seconds(9900 * time.Millisecond), "9.9 s"},
		{seconds(10 * time.Second), "10 s"},
		{situations.String(), "unknown (9)"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// TestRefusedSignal: the service manager waits for what it has asked for by a
// signal, and is told of it also where nothing is begun.
func TestRefusedSignal(t *testing.T) {
	m := New(Options{})
	fill := func() {
		for i := range maxWaiting {
			m.Handle(Reload{Caller: uint64(i + 1), Program: fmt.Sprint("/bin/", i)})
		}
	}
	m.Handle(Start{})
	m.Handle(Spawned{1})
	fill()
	const refused = "reload by signal refused: 8 other reloads wait"
	for _, c := range []struct {
		name   string
		before []Event
		tells  []Effect
	}{
		{"before it serves", nil, nil},
		{"while a reload is under way", []Event{ready(1)}, []Effect{TellReloading{}}},
		{"while one is held", []Event{SpawnFailed{2, "no such file"}, Reload{Caller: 9, Hold: true}, ready(3), ready(4), ready(5), ready(6), ready(7),
			ready(8), ready(9), ready(10)}, []Effect{TellReloading{}, TellReady{}}},
	} {
		for _, e := range c.before {
			m.Handle(e)
		}
		fill()
		var tells []Effect
		logged := false
		for _, f := range m.Handle(Reload{}) {
			switch f := f.(type) {
			case TellReloading, TellReady:
				tells = append(tells, f)
			case Log:
				logged = f.Text == refused
			}
		}
		if !slices.Equal(tells, c.tells) || !logged {
			t.Errorf("%s: the manager is told %v, want %v; it is logged: %t", c.name, tells, c.tells, logged)
		}
		if v := m.LastVerdict(); v.Outcome != Refused {
			t.Errorf("%s: the last verdict is %v", c.name, v)
		}
	}
}

func ExampleMachine() {
	m := New(Options{})
	for _, e := range []Event{Start{}, Spawned{Gen: 1}, Ready{Gen: 1}} {
		for _, f := range m.Handle(e) {
			fmt.Println(f)
		}
	}
	// Output:
	// spawn 1 of the program, with what waits
	// timer 1: ready of 1 in 1m30s
	// STATUS=generation 1 spawning
	// STATUS=generation 1 starting
	// timer 1: cancelled
	// deliver to 1
	// timer 2: settle of 1 in 10s
	// log serves of 1: generation 1 serves
	// READY=1
	// 1 owns
	// STATUS=generation 1 serving
}
