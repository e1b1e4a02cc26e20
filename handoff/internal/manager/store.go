package manager

import (
	"context"
	"os"
	"syscall"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/notify"
)

// Probe finds out whether the manager has a store for descriptors. Where something came
// back from it, kept, it has.
func (m *Manager) Probe(kept bool) {
	if m.keeps = kept; kept {
		close(m.probed)
		return
	}
	go func() {
		defer close(m.probed)
		var err error
		if m.keeps, err = m.n.Keeps(context.Background()); err != nil {
			m.report(err)
		}
	}()
}

// Probed is closed once it is known whether the manager has a store. That has a
// deadline.
func (m *Manager) Probed() <-chan struct{} { return m.probed }

// Known reports whether it is known by now whether the manager has a store.
func (m *Manager) Known() bool {
	select {
	case <-m.probed:
		return true
	default:
		return false
	}
}

// Keeps reports whether the manager has a store, and waits until that is known.
func (m *Manager) Keeps() bool {
	<-m.probed
	return m.keeps
}

// StoreLimit returns how many descriptors the manager keeps, where it says so.
func (m *Manager) StoreLimit() (limit int, known bool) { return m.n.StoreLimit() }

// Keep has the manager keep f under a name, for as long as a hangup changes nothing
// about it. The caller may close f at once.
func (m *Manager) Keep(name string, f *os.File) {
	m.store(name, f, func(ctx context.Context, n *notify.Notifier, f syscall.Conn) error {
		return n.StoreUnpolled(ctx, name, f)
	})
}

// KeepPolled has the manager keep f under a name until f hangs up. The caller may close
// f at once.
func (m *Manager) KeepPolled(name string, f *os.File) {
	m.store(name, f, func(ctx context.Context, n *notify.Notifier, f syscall.Conn) error {
		return n.Store(ctx, name, f)
	})
}

// store sends a duplicate, since f may be closed before its turn comes.
func (m *Manager) store(name string, f *os.File, send func(context.Context, *notify.Notifier, syscall.Conn) error) {
	d, err := fd.Duplicate(f, f.Name())
	if err != nil {
		m.report(err)
		return
	}
	m.do(func(ctx context.Context, n *notify.Notifier) error {
		defer d.Close()
		return send(ctx, n, d)
	})
}

// Drop has the manager remove what it keeps under a name.
func (m *Manager) Drop(name string) {
	m.do(func(ctx context.Context, n *notify.Notifier) error { return n.Remove(ctx, name) })
}
