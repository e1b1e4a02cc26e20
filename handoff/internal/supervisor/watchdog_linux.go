package supervisor

import "time"

// A watchdog notices that a generation has been silent for too long. It belongs to
// Run's goroutine.
type watchdog struct {
	post   func(f func()) bool
	heard  func() // returns when all was dealt with that the generation has said so far
	silent func() // called by the way of post

	limit time.Duration // the longest silence; 0: any
	last  time.Time     // the last sign of life
	timer *time.Timer   // nil: it does not run
}

// A watchdogState is a watchdog in the saved state.
type watchdogState struct {
	Watchdog time.Duration `json:"watchdog,omitempty"`
	Guarded  bool          `json:"guarded,omitempty"` // it runs
}

// signOfLife has the time begin anew, if there is a limit.
func (w *watchdog) signOfLife() {
	if w.limit <= 0 {
		return
	}
	w.last = time.Now()
	if w.timer == nil { // else it looks at last when it fires
		w.rearm(w.limit)
	}
}

// setLimit begins anew with another limit.
func (w *watchdog) setLimit(limit time.Duration) {
	w.limit = limit
	w.stop() // a shorter one must not wait for the end of the longer
	w.signOfLife()
}

// rearm looks after d whether the generation has been silent.
func (w *watchdog) rearm(d time.Duration) {
	var t *time.Timer
	overdue := func() bool {
		if w.timer != t {
			return false // stopped meanwhile
		}
		left := time.Until(w.last.Add(w.limit))
		if left > 0 {
			w.rearm(left)
		}
		return left <= 0
	}
	silent := func() {
		if overdue() {
			w.timer = nil
			w.silent()
		}
	}
	t = time.AfterFunc(d, func() {
		w.post(func() {
			if !overdue() {
				return
			}
			// It may be this process that was held up: then what the generation has said
			// waits in its socket.
			go func() {
				w.heard()
				w.post(silent)
			}()
		})
	})
	w.timer = t
}

func (w *watchdog) stop() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

func (w *watchdog) snapshot() watchdogState {
	return watchdogState{Watchdog: w.limit, Guarded: w.timer != nil}
}

// restore takes over what a snapshot says, and resume goes on with it.
func (w *watchdog) restore(st watchdogState) { w.limit = st.Watchdog }

// resume goes on where a snapshot was taken: what the generation may not say while
// nobody hears it is not held against it.
func (w *watchdog) resume(st watchdogState) {
	if st.Guarded {
		w.signOfLife()
	}
}
