package supervisor

import (
	"fmt"
	"slices"
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
		r.started(nil)
		run(time.Second)
		st := r.snapshot()
		r.stop()
		run(time.Hour)
		if times != 0 || st.Alive != time.Second {
			t.Errorf("stopped with %v to live, it is ready %d times", st.Alive, times)
		}
		r = fresh()
		r.restore(st)
		r.resume(st, nil)
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
		if r.started(nil); times != 2 {
			t.Error("its program runs, and it is not ready")
		}
		if r = fresh(); !r.notified() || r.notified() || !r.snapshot().Ready {
			t.Error("its own word does not count, or twice")
		}
	})
}

// A fakeVetter notes what it is told.
type fakeVetter struct{ log []string }

func (f *fakeVetter) Started(processes func() []int) {
	f.log = append(f.log, fmt.Sprint("started ", processes()))
}
func (f *fakeVetter) Said()   { f.log = append(f.log, "said") }
func (f *fakeVetter) Cancel() { f.log = append(f.log, "cancel") }

// TestVetted: a generation that is vetted is ready when the vetting says so, and the
// vetting hears what it has to know, a replacement of this program included.
func TestVetted(t *testing.T) {
	processes := func() []int { return []int{7} }
	for _, c := range []struct {
		by       Ready
		notified bool // it says READY=1
		want     []string
		resumed  []string
	}{
		{Ready{}, false, []string{"started [7]", "cancel"}, []string{"started [7]"}},
		{Ready{}, true, []string{"started [7]", "said", "cancel"}, []string{"started [7]", "said"}},
		{Ready{mode: readyAccept}, false, []string{"started [7]", "cancel"}, []string{"started [7]"}},
		{Ready{mode: readyExec}, false, []string{"started [7]", "said", "cancel"}, []string{"started [7]", "said"}},
	} {
		t.Run(fmt.Sprint(c.by, " ", c.notified), func(t *testing.T) {
			v := &fakeVetter{}
			r := &readiness{by: c.by, ready: func() { t.Error("it is ready by itself") }, vetting: v}
			r.started(processes)
			if c.notified && r.notified() {
				r.said()
			}
			st := r.snapshot()
			if r.stop(); !slices.Equal(v.log, c.want) || r.vetting != nil || !st.Vetted {
				t.Errorf("the vetting hears %q, want %q; saved is %+v", v.log, c.want, st)
			}
			after := &fakeVetter{}
			r = &readiness{by: c.by, ready: func() { t.Error("it is ready by itself") }, vetting: after}
			r.restore(st)
			if r.resume(st, processes); !slices.Equal(after.log, c.resumed) {
				t.Errorf("after a replacement the vetting hears %q, want %q", after.log, c.resumed)
			}
		})
	}
}
