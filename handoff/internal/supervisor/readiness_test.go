package supervisor

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestReadiness: a generation is taken for ready when it has lived long enough, a
// replacement of this program included, and never where it has ended before.
func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan func(), 8)
		times := 0
		fresh := func() *readiness {
			return &readiness{post: func(f func()) bool { calls <- f; return true }, ready: func() { times++ }}
		}
		run := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
			for len(calls) > 0 {
				(<-calls)()
			}
		}
		r := fresh()
		r.by = Ready{mode: readyAlive, after: 2 * time.Second}
		r.started()
		run(time.Second)
		st := r.snapshot()
		r.stop()
		run(time.Hour)
		if times != 0 || st.Alive != time.Second {
			t.Errorf("stopped with %v to live, it is ready %d times", st.Alive, times)
		}
		r = fresh()
		r.restore(st)
		r.resume(st)
		run(time.Second)
		if times != 1 || r.snapshot().Alive != 0 {
			t.Errorf("when it has lived long enough, it is ready %d times, and then waits for another %v", times, r.snapshot().Alive)
		}
		r.await(time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		r.stop() // while that is on its way
		run(0)
		if times != 1 {
			t.Error("it is ready after its end")
		}
		if r.by = (Ready{mode: readyExec}); r.notified() {
			t.Error("its own word counts, though it was not asked for it")
		}
		if r.started(); times != 2 {
			t.Error("its program runs, and it is not ready")
		}
		if r = fresh(); !r.notified() || r.notified() || !r.snapshot().Ready {
			t.Error("its own word does not count, or twice")
		}
	})
}
