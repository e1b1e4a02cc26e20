package fdstore

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A manifest is what a generation says of itself while it runs: its number, the versions
// of the states that it will save, and the ticket keys. It waits in the store as a parcel
// of its own, which is looked into and never emptied, so that it outlives a crash.
type manifest struct {
	mu    sync.Mutex  // held while it is written
	names []string    // under which there is one in the store
	left  atomic.Bool // it is the next generation's to replace
}

// WriteManifest leaves a manifest with entries in the store, in place of the one that is there, where
// spare entries beside it stay free. It comes last: where there is no room for it, nothing
// worse happens than that TLS clients do a full handshake after a crash. And it shows
// whether there is a store at all, which systemd tells since v254 only.
func (st *Store) WriteManifest(ctx context.Context, spare int, entries ...parcel.Entry) {
	m := &st.manifest
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left.Load() {
		return
	}
	// There is one at every moment, unless there is no room for two.
	old := m.names
	m.names = nil
	if !st.room(1 + spare) {
		st.removeAll(ctx, old)
		old = nil
	}
	name := protocol.UniqueName(protocol.ManifestPrefix)
	if err := st.Leave(ctx, name, spare, entries...); err != nil {
		st.report.Reportf("what the next generation needs: %w", err)
	} else {
		m.names = []string{name}
	}
	st.removeAll(ctx, old)
}

// readManifests reads what the generation before has left, and returns its number. One
// that cannot be read is reported, and does not matter.
func (t *Takeover) readManifests() (generation uint64) {
	var found []*incoming
	for _, p := range t.inherited(protocol.ManifestPrefix) {
		t.Store.manifest.found(p.name)
		err := t.inspectManifest(p)
		p.close()
		if err != nil {
			t.Report.Reportf("%s: %w: %w", p.name, report.ErrUnknown, err)
			continue
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(a, b *incoming) int { return cmp.Compare(a.newest, b.newest) })
	for _, p := range found {
		generation = p.newest
		if err := t.Registry.Promised(p.promises); err != nil {
			t.Report.Reportf("%s: %w: %w", p.name, report.ErrUnknown, err)
		}
	}
	return generation
}

// found notes that there is one in the store, to be removed with the next.
func (m *manifest) found(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = append(m.names, name)
}

// LeaveManifest leaves the manifest to the next generation, once it is not being written.
func (st *Store) LeaveManifest() {
	m := &st.manifest
	m.left.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
}

// KeepManifest has this generation replace the manifest again. It waits for nothing.
func (st *Store) KeepManifest() { st.manifest.left.Store(false) }
