package storeserver

import (
	"fmt"
	"maps"
	"os"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// A State is a store as one program leaves it to the next one in the same process.
type State struct {
	Entries []EntryState        `json:"entries,omitempty"`
	Limit   int                 `json:"limit"`
	Target  uint64              `json:"target,omitempty"` // who gets what is stored
	Drops   map[uint64][]string `json:"drops,omitempty"`  // removals by generations that may yet be undone
	Memory  fd.Ref              `json:"memory"`           // the file with the last numbers
	Kept    bool                `json:"kept,omitempty"`   // the service manager has that file
}

// An EntryState is one descriptor that was stored.
type EntryState struct {
	Name    string            `json:"name"`
	File    fd.Ref            `json:"file"`
	Above   string            `json:"above,omitempty"` // the name of its copy
	Owner   uint64            `json:"owner,omitempty"`
	Polled  bool              `json:"polled,omitempty"`
	Shared  bool              `json:"shared,omitempty"`
	Holders map[uint64]uint64 `json:"holders,omitempty"`
}

// A PeerState is what the store knows of one generation.
type PeerState struct {
	Committed bool `json:"committed,omitempty"` // it is, or was, the service
	Awaiting  bool `json:"awaiting,omitempty"`  // taken is to be called once it has taken all
}

// Snapshot returns what Restore needs, but for the generations. add returns the place by
// which Restore finds a duplicate of a file.
func (s *Server) Snapshot(add func(*os.File) fd.Ref) State {
	st := State{Limit: s.limit, Target: s.target, Drops: maps.Clone(s.drops), Memory: add(s.serials.file), Kept: s.serials.stored}
	for _, e := range s.entries {
		st.Entries = append(st.Entries, EntryState{
			Name: e.name, File: add(e.file), Above: e.copy,
			Owner: e.owner, Polled: e.polled, Shared: e.shared, Holders: maps.Clone(e.holders),
		})
	}
	return st
}

// Restore goes on with what a program before has written down.
func (s *Server) Restore(st State, file func(fd.Ref) *os.File) (err error) {
	s.limit, s.target = st.Limit, st.Target
	maps.Copy(s.drops, st.Drops)
	for _, e := range st.Entries {
		s.entries = append(s.entries, restoreEntry(e, file(e.File)))
	}
	if s.serials, err = openSerials(file(st.Memory)); err == nil {
		s.serials.stored = st.Kept
	}
	return err
}

func restoreEntry(st EntryState, f *os.File) *entry {
	e := &entry{name: st.Name, file: f, copy: st.Above, owner: st.Owner, polled: st.Polled, shared: st.Shared, holders: st.Holders}
	if e.holders == nil {
		e.holders = make(map[uint64]uint64)
	}
	return e
}

// SnapshotPeer returns what RestorePeer needs.
func (s *Server) SnapshotPeer(gen uint64) PeerState {
	if p := s.peers[gen]; p != nil {
		return p.PeerState
	}
	return PeerState{}
}

// RestorePeer is Attach for a generation that a program before has known.
func (s *Server) RestorePeer(gen uint64, st PeerState, d Delivery) {
	s.peers[gen] = &peer{PeerState: st, delivery: d}
}

// Files lists the places of the descriptors in st.
func (st *State) Files() []fd.Ref {
	refs := []fd.Ref{st.Memory}
	for _, e := range st.Entries {
		refs = append(refs, e.File)
	}
	return refs
}

// Check says what Snapshot would not have returned.
func (st *State) Check() error {
	if st.Limit < 1 {
		return fmt.Errorf("%d entries at most", st.Limit)
	}
	return nil
}
