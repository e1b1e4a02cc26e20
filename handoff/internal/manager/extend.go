package manager

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/notify"
)

// How the manager is kept waiting while something takes its time that has deadlines of
// its own.
const (
	extendBy    = 30 * time.Second
	extendEvery = 10 * time.Second
)

// Extend calls ask at once, and again each time that every has passed, until stop is
// called. stop ends ctx, and returns when no call of ask is under way; ask must not
// wait beyond ctx.
//
// It is for asking a service manager for more time: that knows timeouts of its own
// (TimeoutStartSec= and TimeoutStopSec= of systemd.service(5)), and kills the service,
// or the caller of a reload, for them.
func Extend(every time.Duration, ask func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ask(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		again := time.NewTicker(every)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				ask(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// Extend asks the manager for more time, over and over, from the first call on with
// busy until one without.
func (m *Manager) Extend(busy bool) {
	switch {
	case !busy:
		m.ExtendAnew()
	case m.stopExtending == nil:
		m.stopExtending = Extend(extendEvery, m.askForTime)
	}
}

// askForTime asks once, in its turn, unless ctx ends before there is room.
func (m *Manager) askForTime(ctx context.Context) {
	ask := func(ctx context.Context, n *notify.Notifier) error { return n.ExtendTimeout(ctx, extendBy) }
	select {
	case m.queue <- m.told(ask):
	case <-ctx.Done():
	}
}

// ExtendAnew asks for no more time until Extend is called again, and that asks at once.
func (m *Manager) ExtendAnew() {
	if m.stopExtending != nil {
		m.stopExtending()
		m.stopExtending = nil
	}
}
