package handoff

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A manifest is what a generation says of itself while it runs: its number, the
// versions of the states that it will save, and the ticket keys. It waits in the
// store as a parcel of its own, which is looked into and never emptied, so that it
// outlives a crash.
type manifest struct {
	mu    sync.Mutex
	names []string // under which there is one in the store
	final bool     // it is the next generation's to replace
}

// A promise is what is known of the generation before.
type promise struct {
	generation uint64
	states     map[string]uint32 // the version of each that it will save
}

// readManifest reads what the generation before has left, and takes its ticket
// keys. One that cannot be read is reported, and does not matter.
func (s *Service) readManifest() promise {
	var last promise
	var found []*received
	for _, p := range s.inherited(protocol.ManifestPrefix) {
		s.manifest.found(p.name)
		err := s.inspect(p)
		p.close()
		if err != nil {
			s.reportf("%s: %w: %w", p.name, ErrUnknown, err)
			continue
		}
		found = append(found, p)
	}
	slices.SortFunc(found, func(a, b *received) int { return cmp.Compare(a.newest, b.newest) })
	for _, p := range found {
		last = promise{p.newest, p.promises}
		if s.keys == nil {
			continue
		}
		keys, err := parseKeys(p.keys)
		if err != nil {
			s.reportf("%s: %w: %w", p.name, ErrUnknown, err)
		}
		s.keys.inherit(keys, time.Now())
	}
	return last
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
	if m.final {
		return
	}
	spare := s.spare()
	if s.carries() {
		spare++
	}
	// There is one at every moment, unless there is no room for two.
	old := m.names
	m.names = nil
	if !s.store.room(1 + spare) {
		s.removeAll(ctx, old)
		old = nil
	}
	entries := []parcel.Entry{s.firstEntry()}
	for name, st := range s.states {
		entries = append(entries, parcel.Entry{Kind: protocol.KindVersion, Name: name, Payload: s.record(protocol.Record{Version: st.Version})})
	}
	if s.keys != nil {
		entries = append(entries, parcel.Entry{Kind: protocol.KindKeys, Payload: s.record(protocol.Record{Data: s.keys.marshal()}), Secret: true})
	}
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

// finish says whether the manifest is left to the next generation.
func (m *manifest) finish(final bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.final = final
}

// leaves reports whether this generation leaves anything to the next. For one that
// does not there is no reason to ask the manager for room.
func (s *Service) leaves() bool {
	return s.keys != nil || len(s.states) > 0 || s.carries() || s.binds
}

// spare is how many entries of the store the states will need.
func (s *Service) spare() int { return len(s.states) }

// firstEntry begins every parcel: whose it is.
func (s *Service) firstEntry() parcel.Entry {
	return parcel.Entry{Kind: protocol.KindGeneration, Payload: s.record(protocol.Record{})}
}

// keepKeys renews the ticket keys in time, until ctx ends.
func (s *Service) keepKeys(ctx context.Context) {
	if s.keys == nil {
		return
	}
	for {
		made, next := s.keys.rotate(time.Now())
		if made && s.isOwned() {
			s.writeManifest(context.WithoutCancel(ctx))
		}
		select {
		case <-time.After(next):
		case <-ctx.Done():
			return
		}
	}
}
