package loadtest

import (
	"sync"
	"time"
)

// alarm wakes one client when its next request is due.
type alarm interface {
	wait(d time.Duration) // returns after d, or once wake was called
	wake()                // ends every wait, for good; from any goroutine
	close()
}

// timerAlarm is an alarm by the runtime's timers.
type timerAlarm struct {
	timer *time.Timer
	once  sync.Once
	woken chan struct{}
}

func newTimerAlarm() alarm {
	a := &timerAlarm{timer: time.NewTimer(time.Hour), woken: make(chan struct{})}
	a.timer.Stop()
	return a
}

func (a *timerAlarm) wait(d time.Duration) {
	a.timer.Reset(d)
	defer a.timer.Stop()
	select {
	case <-a.timer.C:
	case <-a.woken:
	}
}

func (a *timerAlarm) wake()  { a.once.Do(func() { close(a.woken) }) }
func (a *timerAlarm) close() {}
