package supervisor

import (
	"cmp"
	"slices"
	"time"
)

// timers are those that the machine has asked for. They belong to Run's goroutine.
type timers struct {
	post  func(f func()) bool
	fired func(id uint64)
	list  map[uint64]*timer
}

type timer struct {
	t  *time.Timer
	at time.Time
}

// A timerState is a timer in the saved state.
type timerState struct {
	Timer uint64        `json:"timer"`
	Left  time.Duration `json:"left"`
}

// newTimers returns none. fired is called by the way of post.
func newTimers(post func(f func()) bool, fired func(id uint64)) *timers {
	return &timers{post: post, fired: fired, list: make(map[uint64]*timer)}
}

func (ts *timers) start(id uint64, after time.Duration) {
	fire := func() {
		ts.post(func() {
			if _, ok := ts.list[id]; ok {
				delete(ts.list, id)
				ts.fired(id)
			}
		})
	}
	ts.list[id] = &timer{time.AfterFunc(after, fire), time.Now().Add(after)}
}

// extend has a timer fire after by, unless it does so later anyhow.
func (ts *timers) extend(id uint64, by time.Duration) {
	t := ts.list[id]
	if t == nil {
		return
	}
	if at := time.Now().Add(by); at.After(t.at) {
		t.t.Reset(by)
		t.at = at
	}
}

func (ts *timers) cancel(id uint64) {
	if t := ts.list[id]; t != nil {
		t.t.Stop()
		delete(ts.list, id)
	}
}

// stop cancels all.
func (ts *timers) stop() {
	for id := range ts.list {
		ts.cancel(id)
	}
}

func (ts *timers) snapshot() (list []timerState) {
	for id, t := range ts.list {
		list = append(list, timerState{id, time.Until(t.at)})
	}
	slices.SortFunc(list, func(a, b timerState) int { return cmp.Compare(a.Timer, b.Timer) })
	return list
}

// resume goes on with those of a snapshot.
func (ts *timers) resume(list []timerState) {
	for _, t := range list {
		ts.start(t.Timer, t.Left)
	}
}
