package resource

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// An Unreadable says what becomes of a state that the program cannot read.
type Unreadable int

const (
	Refuse         Unreadable = iota // during a reload: not to become ready
	KeepUnreadable                   // it waits for a later generation
	DropUnreadable                   // it is gone
)

// StateFuncs are what the program says of a state, see handoff.State.
type StateFuncs struct {
	Version    uint32
	Accepts    func(version uint32) bool
	Save       func(context.Context) ([]byte, error)
	Resume     func(context.Context) error
	Load       func(ctx context.Context, version uint32, b []byte) error
	Unreadable Unreadable
}

// A State is something that the program keeps from generation to generation.
type State struct {
	StateFuncs
	env      *Env
	name     string
	keepFor  time.Duration
	promised *protocol.Entry // by the generation before, in its manifest

	newest   atomic.Uint64 // generation of what waits in parcels
	readable atomic.Uint64 // generation of the latest of these that can be read
	loaded   atomic.Bool
	resumed  atomic.Bool // this generation goes on with what it had saved
}

var _ interface {
	Resource
	Early
	Saver
	Promiser
} = (*State)(nil)

// NewState returns a State. What cannot be read waits for a later generation for
// keepFor.
func NewState(env *Env, name string, f StateFuncs, keepFor time.Duration) *State {
	return &State{StateFuncs: f, env: env, name: name, keepFor: keepFor}
}

func (s *State) Start(*Period) {}

func (s *State) StopAccepting(bool) {}

func (s *State) Drain(context.Context, *Period) error { return nil }

// Needs an entry of its own, which a generation that cannot read it leaves as it is.
func (s *State) Needs() Needs { return Needs{Entries: 1} }

func (s *State) String() string { return fmt.Sprintf("state %q", s.name) }

// accepts returns why a version cannot be read, if so.
func (s *State) accepts(version uint32) error {
	if s.Accepts == nil && version == s.Version || s.Accepts != nil && s.Accepts(version) {
		return nil
	}
	return fmt.Errorf("%v: %w: it is %d, and the program writes %d", s, report.ErrStateVersion, version, s.Version)
}

// Preview notes the latest. States are loaded while they are in the parcel.
func (s *State) Preview(e protocol.Entry) {
	raise(&s.newest, e.Generation)
	if s.accepts(e.Version) == nil {
		raise(&s.readable, e.Generation)
	}
}

func raise(to *atomic.Uint64, value uint64) {
	for {
		old := to.Load()
		if value <= old || to.CompareAndSwap(old, value) {
			return
		}
	}
}

// Judge takes the latest that can be read, once.
func (s *State) Judge(e protocol.Entry) protocol.Fate {
	err := s.accepts(e.Version)
	switch {
	case err != nil:
		return unreadable(s.env, e, err, s.keepFor, s.Unreadable != DropUnreadable)
	case s.resumed.Load():
		if e.Generation > s.env.Generation() {
			s.env.Report.Reportf("%v of generation %d, which has failed: %w: this generation goes on with its own", s, e.Generation, report.ErrLost)
		}
		return protocol.Drop
	case s.loaded.Load() || e.Generation < s.readable.Load():
		s.env.Report.Count.Refused.Add(1)
		s.env.Report.Reportf("%v of generation %d: %w: a later one was there", s, e.Generation, report.ErrLost)
		return protocol.Drop
	}
	return protocol.Take
}

// unreadable counts and reports a state that is not taken because of err.
func unreadable(env *Env, e protocol.Entry, err error, keepFor time.Duration, keep bool) protocol.Fate {
	env.Report.Count.Refused.Add(1)
	if keep && time.Since(e.Saved) < keepFor {
		env.Report.Reportf("kept for a later generation, until %v: %w", e.Saved.Add(keepFor).Format(time.RFC3339), err)
		return protocol.Keep
	}
	env.Report.Reportf("dropped: %w", err)
	return protocol.Drop
}

// Adopt gives the state to the program.
func (s *State) Adopt(ctx context.Context, e protocol.Entry, _ *parcel.Item) error {
	if err := s.Load(ctx, e.Version, e.Data); err != nil {
		return fmt.Errorf("handoff: load %v (version %d, %d bytes): %w", s, e.Version, len(e.Data), err)
	}
	s.loaded.Store(true)
	s.env.Report.Count.StatesIn.Add(1)
	return nil
}

// Save has the program save it, unless it is still another generation's.
func (s *State) Save(ctx context.Context) (e parcel.Entry, ok bool, err error) {
	if !s.loaded.Load() && !s.env.owned() {
		return e, false, nil
	}
	data, err := s.StateFuncs.Save(ctx)
	if err != nil {
		return e, true, err
	}
	return parcel.Entry{Kind: protocol.KindState, Name: s.name, Payload: s.env.Payload(protocol.Record{Version: s.Version, Data: data})}, true, nil
}

// Resume goes on with what was saved: what comes back of it is no news.
func (s *State) Resume(ctx context.Context) error {
	s.loaded.Store(true)
	s.resumed.Store(true)
	if s.StateFuncs.Resume == nil {
		return nil
	}
	return s.StateFuncs.Resume(ctx)
}

// Promise returns the version that will be saved.
func (s *State) Promise() parcel.Entry {
	return parcel.Entry{Kind: protocol.KindVersion, Name: s.name, Payload: s.env.Payload(protocol.Record{Version: s.Version})}
}

// Promised notes the version that the generation before will save.
func (s *State) Promised(entries []protocol.Entry) error {
	s.promised = nil
	for _, e := range entries {
		if e.Kind == protocol.KindVersion && e.Name == s.name {
			s.promised = &protocol.Entry{Kind: e.Kind, Name: e.Name, Record: protocol.Record{Version: e.Version, Generation: e.Generation}}
		}
	}
	return nil
}

// CheckPromised returns why the version that was promised cannot be read, unless the
// state is there already, or the program can do without.
func (s *State) CheckPromised() error {
	if s.promised == nil || s.Unreadable != Refuse || s.newest.Load() >= s.promised.Generation {
		return nil
	}
	return s.accepts(s.promised.Version)
}
