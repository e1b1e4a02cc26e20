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
	readyAccept
)

// ParseReady reads notify (READY=1 of sd_notify(3), and it accepts), accept (it waits
// for clients on its sockets), exec (once it was executed) or alive:DURATION (when it
// has lived so long).
func ParseReady(s string) (Ready, error) {
	switch s {
	case "notify":
		return Ready{}, nil
	case "accept":
		return Ready{mode: readyAccept}, nil
	case "exec":
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
	return Ready{}, fmt.Errorf("%q: want notify, accept, exec or alive:DURATION", s)
}

func (r Ready) String() string {
	switch r.mode {
	case readyAccept:
		return "accept"
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

	told    bool // it has said so
	until   time.Time
	timer   *time.Timer // until then; nil: that is not waited for
	vetting vetter      // what else it is held to; nil: nothing, or no more

	// What the vetting has found.
	// accepting are the inodes of the sockets that it was seen to wait on. A reexec
	// forgets them, because a handoffd of before would refuse a state with them: the
	// next successor then has to wait on those on which this one is seen to wait by then.
	accepting []uint32
	doubt     string // why that could not be seen; "": it could, or did not matter
}

// A vetter looks whether a generation does what it is there for, as package vetting
// does. It has ready called, or the machine told that the generation is unfit.
type vetter interface {
	Started(processes func() []int)
	Said()
	Cancel()
}

// A readinessState is readiness in the saved state.
type readinessState struct {
	Alive  time.Duration `json:"alive,omitempty"`  // until it has lived long enough; 0: it says so itself, or has
	Ready  bool          `json:"ready,omitempty"`  // it has said so
	Vetted bool          `json:"vetted,omitempty"` // a vetting is under way
	Doubt  string        `json:"doubt,omitempty"`
}

// started is called when the generation's program runs. processes lists its PIDs.
func (r *readiness) started(processes func() []int) {
	if r.vetting != nil {
		r.vetting.Started(processes)
	}
	switch r.by.mode {
	case readyExec:
		r.said()
	case readyAlive:
		r.await(r.by.after)
	}
}

// notified is called when the generation says READY=1, and reports whether that counts,
// which it does once: said must follow.
func (r *readiness) notified() bool {
	if r.told || r.by.mode != readyNotify {
		return false
	}
	r.told = true
	return true
}

// said is called when the generation is ready as far as it says so itself, or time has
// passed for it.
func (r *readiness) said() {
	if r.vetting != nil {
		r.vetting.Said()
		return
	}
	r.ready()
}

// await takes the generation for ready when it has lived for another d.
func (r *readiness) await(d time.Duration) {
	r.until = time.Now().Add(d)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		r.post(func() {
			if r.timer == t { // else stopped meanwhile
				r.timer = nil
				r.said()
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
	if r.vetting != nil {
		r.vetting.Cancel()
		r.vetting = nil
	}
}

func (r *readiness) snapshot() readinessState {
	st := readinessState{Ready: r.told, Vetted: r.vetting != nil, Doubt: r.doubt}
	if r.timer != nil {
		st.Alive = max(time.Until(r.until), 1)
	}
	return st
}

// restore takes over what a snapshot says, and resume goes on with it.
func (r *readiness) restore(st readinessState) {
	r.told, r.doubt = st.Ready, st.Doubt
}

// resume goes on where a snapshot was taken. A vetting begins anew: the caller has set
// it, if one was under way.
func (r *readiness) resume(st readinessState, processes func() []int) {
	if r.vetting != nil {
		r.vetting.Started(processes)
	}
	switch {
	case st.Alive > 0:
		r.await(st.Alive)
	case st.Vetted && (st.Ready || r.by.mode == readyExec || r.by.mode == readyAlive):
		r.said()
	}
}
