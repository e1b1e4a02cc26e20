package handoff

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A manifest is what a generation says of itself while it runs: its number, the
// versions of the states that it will save, and the ticket keys. It waits in the
// store as a parcel of its own, which is looked into and never emptied, so that it
// outlives a crash.
type manifest struct {
	mu    sync.Mutex  // held while it is written
	names []string    // under which there is one in the store
	left  atomic.Bool // it is the next generation's to replace
}

// readManifest reads what the generation before has left, and returns its number. One
// that cannot be read is reported, and does not matter.
func (s *Service) readManifest() (generation uint64) {
	var found []*received
	for _, p := range s.inherited(protocol.ManifestPrefix) {
		s.manifest.found(p.name)
		err := s.inspectManifest(p)
		p.close()
		if err != nil {
			s.reportf("%s: %w: %w", p.name, ErrUnknown, err)
			continue
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(a, b *received) int { return cmp.Compare(a.newest, b.newest) })
	for _, p := range found {
		generation = p.newest
		if err := s.parts.resources.Promised(p.promises); err != nil {
			s.reportf("%s: %w: %w", p.name, ErrUnknown, err)
		}
	}
	return generation
}

// writeManifest leaves the manifest of this generation in the store, in place of
// the one that is there. It comes last: where there is no room for it, nothing
// worse happens than that TLS clients do a full handshake after a crash. And it
// shows whether there is a store at all, which systemd tells since v254 only.
func (s *Service) writeManifest(ctx context.Context) {
	if !s.store.available() || !s.leaves() {
		return
	}
	m := &s.manifest
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left.Load() {
		return
	}
	needs := s.parts.resources.Needs()
	spare := needs.Entries
	if needs.Carries {
		spare++
	}
	// There is one at every moment, unless there is no room for two.
	old := m.names
	m.names = nil
	if !s.store.room(1 + spare) {
		s.removeAll(ctx, old)
		old = nil
	}
	entries := append([]parcel.Entry{s.firstEntry()}, s.parts.resources.Promises()...)
	name := protocol.UniqueName(protocol.ManifestPrefix)
	if err := s.store.leave(ctx, name, spare, entries...); err != nil {
		s.reportf("what the next generation needs: %w", err)
	} else {
		m.names = []string{name}
	}
	s.removeAll(ctx, old)
}

// found notes that there is one in the store, to be removed with the next.
func (m *manifest) found(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = append(m.names, name)
}

// leave leaves the manifest to the next generation, once it is not being written.
func (m *manifest) leave() {
	m.left.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
}

// keep has this generation replace it again. It waits for nothing.
func (m *manifest) keep() { m.left.Store(false) }

// leaves reports whether this generation leaves anything to the next. For one that
// does not there is no reason to ask the manager for room.
func (s *Service) leaves() bool {
	needs := s.parts.resources.Needs()
	return needs.Carries || needs.Leaves || needs.Entries > 0 || s.parts.binds
}

// firstEntry begins every parcel: whose it is.
func (s *Service) firstEntry() parcel.Entry {
	return parcel.Entry{Kind: protocol.KindGeneration, Payload: s.env.Payload(protocol.Record{})}
}
