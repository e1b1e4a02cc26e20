package generation

import (
	"fmt"
	"slices"
)

// maxNumber is beyond what any machine counts to.
const maxNumber = 1 << 62

// check says what no machine would have written.
func (s *snapshot) check() error {
	if s.Phase < phaseNew || s.Phase > phaseStopped {
		return fmt.Errorf("phase %d", s.Phase)
	}
	if s.Deaths < 0 {
		return fmt.Errorf("%d deaths", s.Deaths)
	}
	if s.Last > maxNumber || s.LastTimer > maxNumber {
		return fmt.Errorf("%d generations and %d timers", s.Last, s.LastTimer)
	}
	var candidate, incumbent *generation
	newest := uint64(0)
	for _, g := range s.Generations {
		if g == nil || g.Number <= newest || g.Number > s.Last {
			return fmt.Errorf("generations are not in order, up to %d", s.Last)
		}
		newest = g.Number
		if err := g.check(s.Phase); err != nil {
			return err
		}
		role := &candidate
		switch {
		case g.State >= StateDraining:
			continue
		case g.State >= StateServing:
			role = &incumbent
		}
		if *role != nil {
			return fmt.Errorf("%v is %v, and %v %v", *role, (*role).State, g, g.State)
		}
		*role = g
	}
	if err := s.checkRoles(candidate, incumbent); err != nil {
		return err
	}
	if err := s.checkRequests(candidate, incumbent); err != nil {
		return err
	}
	return s.checkTimers(candidate)
}

func (g *generation) check(p phase) error {
	switch {
	case g.State <= 0 || g.State >= states:
		return fmt.Errorf("%v: state %d", g, g.State)
	case p == phaseNew || p == phaseStopped || p == phaseStopping && g.State < StateDraining:
		return fmt.Errorf("%v is %v in phase %d", g, g.State, p)
	case g.Exited && (g.Emptied || g.State != StateKilling):
		return fmt.Errorf("%v is %v, though it has ended", g, g.State)
	case g.Spawned != (g.State > StateSpawning) && g.State != StateKilling:
		return fmt.Errorf("%v is %v, and its process was made: %t", g, g.State, g.Spawned)
	}
	return nil
}

// checkRoles looks at the handover from incumbent to candidate, each of which may
// be nil.
func (s *snapshot) checkRoles(candidate, incumbent *generation) error {
	handover := candidate != nil && candidate.State == StateHandingOver
	releasing := incumbent != nil && incumbent.State == StateReleasing
	switch {
	case releasing != handover:
		return fmt.Errorf("a handover without both sides")
	case candidate != nil && !handover && incumbent != nil && incumbent.State != StateServing:
		return fmt.Errorf("%v is %v, while %v is %v", candidate, candidate.State, incumbent, incumbent.State)
	case candidate != nil && candidate.State == StateReady && (incumbent == nil || incumbent.Silent):
		return fmt.Errorf("%v waits for a commit without need", candidate)
	}
	return nil
}

func (s *snapshot) checkRequests(candidate, incumbent *generation) error {
	r := s.Request
	resuming := incumbent != nil && incumbent.State != StateServing
	switch {
	case r == nil && candidate != nil && candidate.State >= StateReady, r == nil && resuming:
		return fmt.Errorf("a handover that nobody has asked for")
	case r == nil && candidate != nil && incumbent != nil && !incumbent.Silent:
		return fmt.Errorf("%v is to replace %v without a reason", candidate, incumbent)
	case r != nil && candidate == nil && !resuming:
		return fmt.Errorf("a reload without a generation")
	case r != nil && candidate != nil && r.Gen != candidate.Number:
		return fmt.Errorf("%v is there for the reload by generation %d", candidate, r.Gen)
	case len(s.Waiting) > maxWaiting:
		return fmt.Errorf("%d reloads wait", len(s.Waiting))
	}
	for _, w := range s.Waiting {
		if len(w.Callers) > maxCallers {
			return fmt.Errorf("%d callers wait for one reload", len(w.Callers))
		}
	}
	return nil
}

// checkTimers wants a timer for everything that waits, and no other.
func (s *snapshot) checkTimers(candidate *generation) error {
	known := make(map[uint64]bool)
	waits := make(map[uint64][]TimerKind)
	for _, t := range s.Timers {
		if t.ID == 0 || t.ID > s.LastTimer || known[t.ID] {
			return fmt.Errorf("timer %d", t.ID)
		}
		known[t.ID] = true
		waits[t.Gen] = append(waits[t.Gen], t.Kind)
	}
	for _, g := range s.Generations {
		var want []TimerKind
		switch g.State {
		case StateSpawning, StateStarting:
			want = []TimerKind{ReadyTimer}
		case StateReady:
			want = []TimerKind{ProbationTimer, HoldTimer}
		case StateHandingOver, StateReleasing:
			if g.State == StateReleasing && !g.Released {
				want = []TimerKind{ReleaseTimer}
			}
			if g.State == StateHandingOver && s.released() {
				want = []TimerKind{TakeTimer}
			}
		case StateServing:
			want = []TimerKind{SettleTimer, 0}
		case StateResuming:
			want = []TimerKind{ResumeTimer}
		case StateDraining:
			want = []TimerKind{DrainTimer, HurryTimer}
		case StateKilling:
			want = []TimerKind{KillTimer}
		}
		if !oneOf(waits[g.Number], want) {
			return fmt.Errorf("%v is %v, with timers %v", g, g.State, waits[g.Number])
		}
		delete(waits, g.Number)
	}
	if s.Phase == phaseRunning {
		if i := slices.Index(waits[0], GiveUpTimer); i >= 0 && s.Deaths > 0 && !s.GiveUp {
			waits[0] = slices.Delete(waits[0], i, i+1)
		}
		if oneOf(waits[0], []TimerKind{BackoffTimer, 0}) {
			delete(waits, 0)
		}
	}
	for gen, kinds := range waits {
		return fmt.Errorf("timers %v of generation %d", kinds, gen)
	}
	return nil
}

// released reports whether the predecessor in a handover has released.
func (s *snapshot) released() bool {
	for _, g := range s.Generations {
		if g.State == StateReleasing {
			return g.Released
		}
	}
	return false
}

// oneOf reports whether have is one of want; 0 there is none, as is no want.
func oneOf(have, want []TimerKind) bool {
	if len(have) == 0 {
		return len(want) == 0 || want[len(want)-1] == 0
	}
	for _, k := range want {
		if len(have) == 1 && have[0] == k {
			return true
		}
	}
	return false
}
