package handoff

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/holdfast-go/holdfast/handoff/internal/life"
)

// newTestRun returns what Run works with, as it is once the service is ready.
func newTestRun(t *testing.T) *run {
	t.Helper()
	r := newRun(plain(t, Options{}), make(chan os.Signal))
	r.probing = task{done: make(chan struct{})}
	close(r.probing.done)
	r.s.period.Load().reading = task{end: func(error) {}, done: r.probing.done}
	r.life.Handle(life.Started)
	return r
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// TestShutdownComesAfterStopping: a shutdown does nothing before the manager was told
// what it was about to be told, STOPPING=1 among it. What a generation stores without
// having said that it stops would be taken for something else.
func TestShutdownComesAfterStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRun(t)
		told := make(chan struct{})
		r.messages.pass(func() { <-told }) // a manager that does not read
		r.beginShutdown(true)
		d := r.shutdown
		synctest.Wait()
		if isClosed(d.stopped) {
			t.Error("it has stopped accepting, and the manager was told nothing")
		}
		close(told)
		synctest.Wait()
		if !isClosed(d.stopped) {
			t.Error("it goes on accepting")
		}
		close(r.over) // nobody answers its question
		<-d.done
	})
}

// TestMaySave: a shutdown saves when work is finished, once it is asked, and never
// after it was abandoned.
func TestMaySave(t *testing.T) {
	may := func(r *run, d *shutdown) bool {
		q := question{d, make(chan bool, 1)}
		r.answer(q)
		return <-q.yes
	}
	r := newTestRun(t)
	r.shutdown = &shutdown{}
	if may(r, r.shutdown) {
		t.Error("it saves while the service serves")
	}
	r.life.Handle(life.ReleaseAsked)
	if may(r, &shutdown{}) {
		t.Error("one that was abandoned before saves")
	}
	if !may(r, r.shutdown) || r.life.State() != life.Saving {
		t.Errorf("it does not save, and is %v", r.life.State())
	}
	r = newTestRun(t)
	r.shutdown = &shutdown{}
	r.life.Handle(life.ReleaseAsked)
	r.life.Handle(life.ResumeAsked)
	if may(r, r.shutdown) {
		t.Error("it saves though it is to resume")
	}
}

// TestIncoming: every signal is taken at once, and is there when it is heeded.
func TestIncoming(t *testing.T) {
	for _, c := range []struct {
		signals                 []os.Signal
		stop, interrupt, reload bool
	}{
		{[]os.Signal{syscall.SIGHUP, syscall.SIGHUP}, false, false, true},
		{[]os.Signal{syscall.SIGTERM, syscall.SIGTERM, syscall.SIGTERM}, true, false, false},
		{[]os.Signal{os.Interrupt}, true, false, false},
		{[]os.Signal{syscall.SIGTERM, os.Interrupt}, true, false, false},
		{[]os.Signal{os.Interrupt, syscall.SIGHUP, os.Interrupt, os.Interrupt}, true, true, true},
	} {
		in := newIncoming(nil)
		stopped := false
		for _, sig := range c.signals {
			in.take(sig, func() { stopped = true })
		}
		if stopped != c.stop || (len(in.interrupt) == 1) != c.interrupt || (len(in.reload) == 1) != c.reload {
			t.Errorf("%v: stop %v, %d interrupts, %d reloads", c.signals, stopped, len(in.interrupt), len(in.reload))
		}
	}
}

// TestMessagesInOrder: messages are passed on in their order, one at a time, and
// whoever has one for somebody who does not listen does not wait.
func TestMessagesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m messages
		listens := make(chan error)
		var got []int
		for i := range 100 {
			m.pass(func() {
				<-listens
				got = append(got, i)
			})
		}
		passed := m.passed()
		synctest.Wait()
		if isClosed(passed) || len(got) > 0 {
			t.Errorf("%d messages were passed on to somebody who does not listen", len(got))
		}
		for range 100 {
			listens <- errors.New("now")
		}
		<-passed
		for i, n := range got {
			if i != n {
				t.Fatalf("message %d came as number %d", n, i)
			}
		}
	})
}
