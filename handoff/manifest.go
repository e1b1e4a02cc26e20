package handoff

import (
	"context"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// settleStore makes the changes that were to wait, and leaves the manifest.
func (s *Service) settleStore(ctx context.Context) {
	s.store.Settle(ctx)
	s.writeManifest(ctx)
}

// writeManifest leaves the manifest of this generation in the store, in place of the one
// that is there.
func (s *Service) writeManifest(ctx context.Context) {
	if !s.store.Available() || !s.needsStore() {
		return
	}
	needs := s.parts.resources.Needs()
	spare := needs.Entries
	if needs.Carries {
		spare++
	}
	entries := append([]parcel.Entry{s.firstEntry()}, s.parts.resources.Promises()...)
	s.store.WriteManifest(ctx, spare, entries...)
}

// needsStore reports whether we will store anything. If not, we do not probe the manager's
// store.
func (s *Service) needsStore() bool {
	needs := s.parts.resources.Needs()
	return needs.Carries || needs.Leaves || needs.Entries > 0 || s.parts.binds
}

// firstEntry begins every parcel: whose it is.
func (s *Service) firstEntry() parcel.Entry {
	return parcel.Entry{Kind: protocol.KindGeneration, Payload: s.env.Payload(protocol.Record{})}
}
