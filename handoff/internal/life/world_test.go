package life

import (
	"fmt"
	"slices"
)

// A shutdown is what a world knows of one.
type shutdown struct {
	stopped, asked, saves, done bool
	abandoned, last, closed     bool
}

// A world is what a Machine decides for: it does the effects, holds them against the
// rules, and tells which events may come next.
type world struct {
	facts
	fail func(string)
	done [effects]int
}

// The facts are all that what may come next depends on.
type facts struct {
	m        Machine
	period   bool // one serves, and has no shutdown
	present  shutdown
	periods  int
	reload   bool // one is under way
	resuming bool // State.Resume is being called
	cut      bool // that was cut short
	left     bool // the states are saved, and nobody has taken them back
	stopping bool // STOPPING=1 was sent
	returned bool

	stop, interrupt bool   // asked for, and not taken
	released        uint64 // number of the last RELEASE that was taken
	told            uint64 // and of the last RELEASED
	resumes         int    // RESUMEs taken
	resumed         int    // RESUMED sent
	refuseSave      bool   // RESUME was taken since the shutdown began
}

// lessen makes numbers that only grow small again.
func (f *facts) lessen() {
	f.periods = min(f.periods, 1)
	f.released, f.told = min(f.released-f.told, 2), 0
	f.resumes, f.resumed = min(f.resumes-f.resumed, 2), 0
}

func (w *world) broken(format string, args ...any) {
	w.fail(fmt.Sprintf("when %v: "+format, append([]any{w.m.State()}, args...)...))
}

// possible reports whether e may happen now.
func (w *world) possible(e Event) bool {
	p := &w.present
	under := !w.period && w.periods > 0 // a shutdown
	switch e {
	case Started, StartFailed:
		return w.m.State() == Starting
	case StopAsked:
		return w.stop
	case Interrupted:
		return w.interrupt
	case ReloadDone:
		return w.reload
	case AcceptEnded:
		return under && p.stopped // level: the channel stays closed
	case SaveAsked:
		return under && p.stopped && !p.asked
	case ShutdownDone:
		return under && p.done
	case StatesBack, StatesLost:
		return w.resuming
	}
	return true // whoever asks for it may ask at any time
}

// advance has the shutdown under way go on by one step, and reports whether it did.
func (w *world) advance() bool {
	p := &w.present
	switch {
	case w.period || w.periods == 0 || p.done:
		return false
	case !p.stopped:
		p.stopped = true
	case !p.asked:
		return false // it waits for the answer
	default:
		p.done = true
		w.left = p.saves
	}
	return true
}

// send offers e to the machine, and does what follows. It reports whether e was taken.
func (w *world) send(e Event) bool {
	if !w.m.Takes(e) {
		if do := w.m.Handle(e); do != nil {
			w.broken("%v is not taken, and leads to %v", e, do)
		}
		if e == SaveAsked {
			w.present.asked = true // and the answer is no
			if !w.present.abandoned {
				w.broken("it must not save, though nobody has asked it to resume")
			}
		}
		return false
	}
	w.note(e)
	do := w.m.Handle(e)
	for _, f := range do {
		w.done[f]++
		w.do(f)
	}
	w.answered(e, do)
	return true
}

// answered wants that what follows e is what e asks for.
func (w *world) answered(e Event, do []Effect) {
	for _, f := range do {
		if len(slices.DeleteFunc(slices.Clone(do), func(g Effect) bool { return g != f })) > 1 {
			w.broken("%v leads to %v twice", e, f)
		}
	}
	for _, pair := range []struct {
		e Event
		f Effect
	}{{Started, SendReady}, {ReloadAsked, BeginReload}, {ReloadDone, EndReload}} {
		if (e == pair.e) != slices.Contains(do, pair.f) {
			w.broken("%v leads to %v", e, do)
		}
	}
	stops := slices.Contains(do, SendStopping)
	hurries := slices.Contains(do, HurryShutdown)
	switch {
	case e == TaskFailed:
		if stops == slices.Contains(do, ReportCause) || hurries {
			w.broken("of a failure nothing is said, or twice: %v", do)
		}
	case slices.Contains(do, ReportCause):
		w.broken("it reports %v", e)
	case e == Interrupted:
		if hurries == slices.Contains(do, CutResume) {
			w.broken("an interrupt cuts nothing short, or two things: %v", do)
		}
	case hurries != (e == StatesBack && w.cut):
		w.broken("%v hurries: %v", e, do)
	}
	switch e {
	case StopAsked, StatesLost:
		if !stops {
			w.broken("%v does not stop it", e)
		}
	}
	switch s := w.m.State(); {
	case s == Serving && w.resumed != w.resumes:
		w.broken("rule 5: RESUME was not answered")
	case s == Released && w.told != w.released:
		w.broken("rule 5: RELEASE was not answered")
	case (s == Ended) != w.returned:
		w.broken("rule 1: Run has returned: %v", w.returned)
	}
}

// note takes an event that is about to be handled.
func (w *world) note(e Event) {
	switch e {
	case Started:
		w.period, w.periods = true, 1
	case StopAsked:
		w.stop = false
	case Interrupted:
		w.interrupt = false
	case ReleaseAsked:
		w.released++
	case ResumeAsked:
		w.resumes++
		w.refuseSave = true
	case SaveAsked:
		w.present.asked, w.present.saves = true, true
		if w.refuseSave {
			w.broken("rule 3: it saves, after RESUME")
		}
	case StatesBack, StatesLost:
		w.resuming, w.left = false, false
	}
}

// do does one effect.
func (w *world) do(f Effect) {
	p := &w.present
	if w.returned {
		w.broken("rule 1: %v, after Run has returned", f)
	}
	switch f {
	case BeginReload:
		w.reload = true
	case EndReload:
		w.reload = false
	case BeginShutdown, BeginLastShutdown:
		if !w.period {
			w.broken("rule 2: a shutdown beside another")
		}
		w.period, w.refuseSave = false, false
		*p = shutdown{last: f == BeginLastShutdown, closed: f == BeginLastShutdown}
	case AbandonShutdown:
		if !w.refuseSave || w.period || p.saves || p.done || p.abandoned || p.last {
			w.broken("rule 3: it abandons a shutdown that it must not")
		}
		p.abandoned = true
	case CloseListeners:
		if w.period || !p.stopped || p.closed {
			w.broken("it closes what still accepts, or is closed")
		}
		p.closed = true
	case HurryShutdown:
		if w.period || !w.stopping {
			w.broken("it hurries, and nothing ends")
		}
	case ResumeStates:
		if w.resuming || !w.left || !p.done {
			w.broken("rule 4: there is nothing to resume")
		}
		w.resuming = true
	case CutResume:
		if !w.resuming || w.cut {
			w.broken("it cuts short what is not there")
		}
		w.cut = true
	case BeginPeriod:
		if w.period || !p.stopped || w.left || w.resuming || p.saves && !p.done {
			w.broken("rule 2: a period beside another")
		}
		w.period = true
		w.periods++
	case SendReleased:
		if !p.saves || !p.done || w.told >= w.released || w.refuseSave || w.stopping {
			w.broken("rule 5: RELEASED for %d, after %d", w.released, w.told)
		}
		w.told = w.released
	case SendResumed:
		if w.resumed++; w.resumed > w.resumes || !w.period || w.stopping {
			w.broken("rule 5: RESUMED %d times for %d, while it does not serve", w.resumed, w.resumes)
		}
	case SendStopping:
		if w.stopping {
			w.broken("rule 1: STOPPING=1 twice")
		}
		w.stopping, w.reload = true, false
	case Return:
		if w.periods > 0 && (!w.stopping || w.period || !p.done || !p.closed || w.resuming) {
			w.broken("rule 1: it returns without a drain")
		}
		w.returned = true
	}
	if w.stopping && (f == BeginReload || f == EndReload) {
		w.broken("rule 1: %v after STOPPING=1", f)
	}
}

// finish lets everything under way go on, with nothing new but a stop, and wants Run
// to return.
func (w *world) finish() {
	if w.m.State() == Starting {
		w.send(Started)
	}
	if !w.stopping {
		w.stop = true
	}
	for range 20 {
		if w.m.State() == Ended {
			return
		}
		w.advance()
		for _, e := range []Event{AcceptEnded, SaveAsked, ShutdownDone, StatesBack, StopAsked} {
			if w.possible(e) {
				w.send(e)
			}
		}
	}
	w.broken("it does not end")
}
