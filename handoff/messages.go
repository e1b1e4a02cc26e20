package handoff

import (
	"context"
	"sync"

	"github.com/holdfast-go/holdfast/handoff/internal/fdstore"
	"github.com/holdfast-go/holdfast/notify"
)

// messages are what Run's goroutine has for others: for the manager, which may not
// read for a minute and a half while systemd reloads itself, and for Options.Report,
// which is the program's. A goroutine of their own passes them on, one after the
// other, so that Run's need not wait.
type messages struct {
	mu      sync.Mutex
	waiting []func()
	passing bool // a goroutine passes them on
}

// pass has f called when all that came before has been passed on.
func (m *messages) pass(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, f)
	if !m.passing {
		m.passing = true
		go m.run()
	}
}

// run passes on what waits, and ends when nothing does.
func (m *messages) run() {
	for {
		m.mu.Lock()
		if len(m.waiting) == 0 {
			m.passing = false
			m.mu.Unlock()
			return
		}
		f := m.waiting[0]
		m.waiting = m.waiting[1:]
		m.mu.Unlock()
		f()
	}
}

// passed returns a channel that is closed when all that waits now has been passed on.
func (m *messages) passed() <-chan struct{} {
	done := make(chan struct{})
	m.pass(func() { close(done) })
	return done
}

// afterwards returns a function that calls f once all that waits now has been passed
// on.
func (r *run) afterwards(f func(context.Context) error) func(context.Context) error {
	passed := r.messages.passed()
	return func(ctx context.Context) error {
		<-passed
		return f(ctx)
	}
}

// tell sends fields to the manager. An error is reported.
func (r *run) tell(fields ...notify.Field) {
	r.exchange(func(ctx context.Context) error { return r.s.manager.Send(ctx, fields...) })
}

// exchange has f, which sends something, called in its turn. Its context ends after
// fdstore.EndTimeout, and when the end of the service is cut short. An error is reported.
func (r *run) exchange(f func(context.Context) error) {
	r.messages.pass(func() {
		ctx, cancel := context.WithTimeout(r.hurried, fdstore.EndTimeout)
		defer cancel()
		r.s.report(f(ctx))
	})
}

// report tells the program of err in its turn.
func (r *run) report(err error) { r.messages.pass(func() { r.s.report(err) }) }
