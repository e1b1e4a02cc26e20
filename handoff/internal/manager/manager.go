package manager

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/notify"
)

// ErrDeaf: the service manager does not read what it is told.
var ErrDeaf = errors.New("the manager does not read what it is told")

const (
	// pending is how many messages may wait before a caller has to.
	pending = 256

	// closeTimeout bounds the wait for the manager at the end. systemd reads nothing
	// while it reloads itself, for as long as its generators take, to which it gives
	// 90 s; and it knows nobody any more who has exited meanwhile.
	closeTimeout = 2 * time.Minute

	// StatusBytes is how long the text of a STATUS= may be, before it is cut.
	StatusBytes = 1000
)

// A Manager is the service manager, as handoffd has it. One goroutine sends everything,
// in order. Only one goroutine, the owner, may call the methods, unless they say
// otherwise.
type Manager struct {
	n      *notify.Notifier // nil: there is no manager, and all is done without it
	post   func(func()) bool
	report func(error)

	queue  chan func() // to the goroutine that sends
	over   chan struct{}
	probed chan struct{} // closed once keeps is known
	keeps  bool          // it has a store for descriptors

	ready         bool   // it was told that the service is ready, once
	reloading     bool   // it was told of a reload, and not yet that it is over
	text          string // the status as it knows it, or is about to
	failure       failure
	stopExtending func() // nil: it is not asked for more time
}

// A State is what a Manager knows that outlives this program.
type State struct {
	Keeps   bool           `json:"keeps,omitempty"`  // the manager has a store
	Ready   bool           `json:"ready,omitempty"`  // it was told so, once
	Reload  bool           `json:"reload,omitempty"` // and that a reload is under way
	Text    string         `json:"text,omitempty"`
	Excuses FailureDetails `json:"excuses"` // those that it was told
}

// New returns a Manager that sends by n and closes it; nil stands for no manager. post
// calls a function in the owner's goroutine, or returns false where the owner has
// ended. report is told by any goroutine what could not be sent. Probe or Restore must
// follow.
func New(n *notify.Notifier, post func(func()) bool, report func(error)) *Manager {
	m := &Manager{
		n: n, post: post, report: report,
		queue: make(chan func(), pending), over: make(chan struct{}), probed: make(chan struct{}),
	}
	go func() {
		defer close(m.over)
		for f := range m.queue {
			f()
		}
	}()
	return m
}

// Snapshot returns what Restore takes.
func (m *Manager) Snapshot() State {
	return State{Keeps: m.keeps, Ready: m.ready, Reload: m.reloading, Text: m.text, Excuses: m.failure.told}
}

// Restore goes on as the Manager before that has taken the snapshot. It tells the
// service manager nothing.
func (m *Manager) Restore(st State) {
	m.keeps, m.ready, m.reloading, m.text, m.failure.told = st.Keeps, st.Ready, st.Reload, st.Text, st.Excuses
	close(m.probed)
}

// Environ returns the variables by which this process was told of its manager.
func (m *Manager) Environ() []string { return m.n.Environ() }

// WatchdogTimeout returns the longest silence that the manager takes; 0 is any.
func (m *Manager) WatchdogTimeout() time.Duration { return m.n.WatchdogTimeout() }

// Watchdog sends signs of life until ctx ends, as long as answers returns nil. Any
// goroutine may call it.
func (m *Manager) Watchdog(ctx context.Context, answers func(context.Context) error) error {
	return m.n.Watchdog(ctx, answers)
}

// Then has f called once everything before was sent.
func (m *Manager) Then(f func()) { m.queue <- f }

// Mark returns a channel that is closed when the manager was told all until now.
func (m *Manager) Mark() <-chan struct{} {
	done := make(chan struct{})
	m.Then(func() { close(done) })
	return done
}

// Send sends an assignment of fields.
func (m *Manager) Send(fields ...notify.Field) {
	m.do(func(ctx context.Context, n *notify.Notifier) error { return n.Send(ctx, fields...) })
}

// do has f tell the manager something, in its turn.
func (m *Manager) do(f func(ctx context.Context, n *notify.Notifier) error) {
	m.Then(m.told(f))
}

// told returns what calls f, and reports its error.
func (m *Manager) told(f func(ctx context.Context, n *notify.Notifier) error) func() {
	return func() {
		if err := f(context.Background(), m.n); err != nil {
			m.report(err)
		}
	}
}

// SetStatus sets the text that the next Ready, Status or Repeat sends.
func (m *Manager) SetStatus(text string) { m.text = report.Clip(text, StatusBytes) }

// Status sends the text of the last SetStatus.
func (m *Manager) Status() { m.Say(m.text) }

// Say sends a text in place of that of SetStatus, until the next one is sent.
func (m *Manager) Say(text string) {
	m.do(func(_ context.Context, n *notify.Notifier) error { return n.Status(text) })
}

// Ready says that the service is ready, or that its reload is over; with the status, so
// that whoever waits for the end of a reload finds it.
func (m *Manager) Ready() {
	m.ready, m.reloading = true, false
	m.Send(notify.Ready(), notify.Status(m.text))
}

// Reloading says that a reload is under way.
func (m *Manager) Reloading() {
	m.reloading = true
	m.Send(notify.Reloading())
}

// RefuseReload says that a reload, asked for by the manager, came and went: else the
// manager would wait for it.
func (m *Manager) RefuseReload() {
	m.Send(notify.Reloading())
	m.Send(notify.Ready())
}

// Stopping says that the service ends.
func (m *Manager) Stopping() { m.Send(notify.Stopping()) }

// Repeat tells the manager again how the service stands. A SIGHUP that came while no
// program was there to hear it is lost, and the manager would wait for ever for what
// must follow it.
func (m *Manager) Repeat() {
	if !m.ready {
		return
	}
	m.Send(notify.Reloading())
	if !m.reloading {
		m.Send(notify.Ready(), notify.Status(m.text))
	}
}

// Close waits, for a limited time, until the manager has processed all that it was
// told. errors.Is finds ErrDeaf where it has not read that, and the errors of
// notify.Notifier.Barrier. It is called once, and nothing may be sent after that.
func (m *Manager) Close() error {
	m.ExtendAnew()
	m.failure.stop()
	<-m.probed // has a deadline of its own
	close(m.queue)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	select {
	case <-m.over:
	case <-ctx.Done():
		return ErrDeaf
	}
	return errors.Join(m.n.Barrier(ctx), m.n.Close())
}
