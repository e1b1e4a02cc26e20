package fdstore

import (
	"context"
	"io"
	"sync"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// Deliveries receives what the manager sends over HANDOFF_SOCKET: orders, which Run's
// goroutine carries out, and deliveries, which wait for the Takeover.
type Deliveries struct {
	intake *parcel.Intake
	report *report.Reporter
	orders chan *parcel.Delivery // with Release or Resume

	mu    sync.Mutex
	queue []*parcel.Delivery
	words []*parcel.Delivery // without descriptors, that came before a Release
	err   error              // why nothing more comes
	news  chan struct{}      // closed when any of these has changed
}

// NewDeliveries returns the deliveries of intake; nil: nothing is delivered.
func NewDeliveries(intake *parcel.Intake, r *report.Reporter) *Deliveries {
	return &Deliveries{intake: intake, report: r, orders: make(chan *parcel.Delivery), news: make(chan struct{})}
}

// Orders returns what Release and Resume come by. Nothing else is received while one
// waits.
func (m *Deliveries) Orders() <-chan *parcel.Delivery { return m.orders }

// Run receives until ctx ends or the manager has gone.
func (m *Deliveries) Run(ctx context.Context) {
	if m.intake == nil {
		return
	}
	limit := backoff{report: m.report}
	for {
		d, err := m.intake.Next(ctx)
		switch {
		case report.Limited(err):
			limit.wait(ctx, err)
			continue
		case err != nil:
			if err != io.EOF && ctx.Err() == nil {
				m.report.Report(err)
			}
			m.change(func() { m.err = io.EOF })
			return
		case d.Release != 0:
			m.change(m.takeBack)
		case d.Resume != 0:
			m.change(m.giveBack)
		default:
			m.change(func() { m.queue = append(m.queue, d) })
			continue
		}
		select {
		case m.orders <- d:
		case <-ctx.Done():
		}
	}
}

func (m *Deliveries) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	close(m.news)
	m.news = make(chan struct{})
}

// takeBack drops what waits: it goes to the successor, or is delivered anew.
func (m *Deliveries) takeBack() {
	for _, d := range m.queue {
		if len(d.Files) == 0 {
			m.words = append(m.words, d)
		}
		for _, f := range d.Files {
			f.Close()
		}
	}
	m.queue = nil
}

// giveBack comes when all has been delivered anew.
func (m *Deliveries) giveBack() {
	m.queue = append(m.queue, m.words...)
	m.words = nil
}

// next waits for the next delivery until ctx ends. io.EOF says that nothing more
// comes.
func (m *Deliveries) next(ctx context.Context) (*parcel.Delivery, error) {
	for {
		m.mu.Lock()
		news := m.news
		if len(m.queue) > 0 {
			d := m.queue[0]
			m.queue = m.queue[1:]
			m.mu.Unlock()
			return d, nil
		}
		err := m.err
		m.mu.Unlock()
		if err != nil {
			return nil, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// putBack has d be the next one again.
func (m *Deliveries) putBack(d *parcel.Delivery) {
	m.change(func() { m.queue = append([]*parcel.Delivery{d}, m.queue...) })
}
