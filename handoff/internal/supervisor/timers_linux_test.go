package supervisor

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTimers: a timer fires once, at the later of two times, and not after it was
// cancelled, even where it is about to.
func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan func(), 8)
		fired := make(map[uint64]time.Duration)
		began := time.Now()
		ts := newTimers(
			func(f func()) bool { calls <- f; return true },
			func(id uint64) { fired[id] += time.Since(began) },
		)
		run := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
			for len(calls) > 0 {
				(<-calls)()
			}
		}
		ts.start(1, time.Second)
		ts.start(2, 2*time.Second)
		ts.start(3, 3*time.Second)
		ts.start(4, 4*time.Second)
		ts.start(5, time.Second)
		ts.extend(2, time.Second) // it has more
		ts.extend(3, 5*time.Second)
		ts.extend(9, time.Second) // there is none
		ts.cancel(4)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(calls) != 2 {
			t.Fatalf("%d timers fire, want 2", len(calls))
		}
		ts.cancel(5) // it fires, and nobody has dealt with that yet
		run(0)
		if st := ts.snapshot(); len(st) != 2 || st[0] != (timerState{2, time.Second}) || st[1] != (timerState{3, 4 * time.Second}) {
			t.Errorf("after a second, these are left: %v", st)
		}
		run(time.Second)
		run(time.Second)
		left := ts.snapshot()
		ts.stop()
		run(time.Hour)
		if len(fired) != 2 || fired[1] != time.Second || fired[2] != 2*time.Second {
			t.Errorf("they fire at %v", fired)
		}
		began = time.Now()
		ts.resume(left)
		run(2 * time.Second)
		if fired[3] != 2*time.Second {
			t.Errorf("the one that goes on fires at %v", fired)
		}
	})
}
