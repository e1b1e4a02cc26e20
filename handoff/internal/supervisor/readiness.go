package supervisor

import (
	"fmt"
	"strings"
	"time"
)

// Ready says what makes a generation ready. The zero value is READY=1.
type Ready struct {
	mode  readyMode
	after time.Duration
}

type readyMode int

const (
	readyNotify readyMode = iota
	readyExec
	readyAlive
)

// ParseReady reads notify (READY=1 of sd_notify(3)), exec (once it was executed)
// or alive:DURATION (when it has lived so long).
func ParseReady(s string) (Ready, error) {
	if s == "notify" {
		return Ready{}, nil
	}
	if s == "exec" {
		return Ready{mode: readyExec}, nil
	}
	if text, ok := strings.CutPrefix(s, "alive:"); ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			return Ready{}, fmt.Errorf("%q: %w", s, err)
		}
		if d <= 0 {
			return Ready{}, fmt.Errorf("%q: want a duration above 0", s)
		}
		return Ready{mode: readyAlive, after: d}, nil
	}
	return Ready{}, fmt.Errorf("%q: want notify, exec or alive:DURATION", s)
}

func (r Ready) String() string {
	switch r.mode {
	case readyExec:
		return "exec"
	case readyAlive:
		return "alive:" + r.after.String()
	}
	return "notify"
}

// readiness is whether a generation counts as ready. It belongs to Run's goroutine.
type readiness struct {
	by    Ready
	post  func(f func()) bool
	ready func() // it does, and has not said so

	told  bool // it has said so
	until time.Time
	timer *time.Timer // until then; nil: that is not waited for
}

// A readinessState is readiness in the saved state.
type readinessState struct {
	Alive time.Duration `json:"alive,omitempty"` // until it has lived long enough; 0: it says so itself, or has
	Ready bool          `json:"ready,omitempty"` // it has said so
}

// started is called when the generation's program runs.
func (r *readiness) started() {
	switch r.by.mode {
	case readyExec:
		r.ready()
	case readyAlive:
		r.await(r.by.after)
	}
}

// notified is called when the generation says READY=1, and reports whether it counts as
// ready by that, which it does once.
func (r *readiness) notified() bool {
	if r.told || r.by.mode != readyNotify {
		return false
	}
	r.told = true
	return true
}

// await takes the generation for ready when it has lived for another d.
func (r *readiness) await(d time.Duration) {
	r.until = time.Now().Add(d)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		r.post(func() {
			if r.timer == t { // else stopped meanwhile
				r.timer = nil
				r.ready()
			}
		})
	})
	r.timer = t
}

// stop is called when the generation ends: it will not be ready any more.
func (r *readiness) stop() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

func (r *readiness) snapshot() readinessState {
	st := readinessState{Ready: r.told}
	if r.timer != nil {
		st.Alive = max(time.Until(r.until), 1)
	}
	return st
}

// restore takes over what a snapshot says, and resume goes on with it.
func (r *readiness) restore(st readinessState) { r.told = st.Ready }

// resume goes on where a snapshot was taken.
func (r *readiness) resume(st readinessState) {
	if st.Alive > 0 {
		r.await(st.Alive)
	}
}
