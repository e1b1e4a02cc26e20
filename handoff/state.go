package handoff

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// State is something that the program keeps from generation to generation.
type State struct {
	// Version is that of what Save returns.
	Version uint32

	// Accepts tells whether Load can read a version. It is asked before READY=1
	// for what is there by then, and during a reload for what the generation
	// before will save. nil: only Version.
	Accepts func(version uint32) bool

	// Save returns the state, when nothing in this generation changes it any
	// more: after the servers, the carriers' connections and the functions of Go
	// have ended. It is called only after Load, or once Owned says that there was
	// nothing to load, and only where there is a manager that may keep the state. Its
	// context ends after Options.DrainTimeout; a Save that does not return soon after
	// that is left behind, and the state is lost.
	//
	// The state itself stays as it is: during a reload by handoffd this generation
	// goes on with it, if the successor refuses it or dies before it has taken
	// everything over. What the successor has done to it by then is lost. Save may
	// come again later.
	Save func(context.Context) ([]byte, error)

	// Resume is called where this generation goes on after Save, before it serves
	// again: to undo what Save did beside returning the state, such as closing a file
	// that only one may have open. nil: nothing is to be done. An error makes Run
	// drain and return it. Its context ends after Options.DrainTimeout.
	Resume func(context.Context) error

	// Load takes the state over. It is called at most once, after READY=1 and
	// before Owned. b is Load's to keep. During a reload it is called when the
	// generation before has drained; requests and connections come before.
	//
	// After an error, and after a crash in it, the state waits for the next
	// generation as it was. An error makes Run drain and return it: a program
	// that would rather go on without returns nil.
	Load func(ctx context.Context, version uint32, b []byte) error

	// Unreadable says what becomes of a state that Accepts refuses.
	Unreadable Unreadable
}

// Unreadable says what becomes of a state of a version that the program cannot
// read. Options.Report is told in each case, by ErrStateVersion.
type Unreadable int

const (
	// Refuse: during a reload, which can still be undone, Run returns
	// ErrStateVersion before READY=1. After a restart it is as Keep.
	Refuse Unreadable = iota

	// Keep: the program starts without it. It waits in the store for a later
	// generation that can read it, for Options.KeepStates.
	Keep

	// Drop: the program starts without it, and it is gone.
	Drop
)

// State has st kept under name from generation to generation. Save and Load are
// required.
func (s *Service) State(name string, st State) error {
	err := s.change(func() error {
		if err := checkName("state", name); err != nil {
			return err
		}
		if st.Save == nil || st.Load == nil {
			return errors.New("it has no Save or no Load")
		}
		if s.states[name] != nil {
			return ErrDuplicate
		}
		s.states[name] = &state{State: st, name: name}
		return nil
	})
	if err != nil {
		return fmt.Errorf("handoff: state %q: %w", name, err)
	}
	return nil
}

// A state is one that the program keeps.
type state struct {
	State
	name   string
	loaded atomic.Bool
	kept   atomic.Bool // this generation goes on with what it had saved
	saved  bool        // since it last began to serve
	parcel string      // in which it was saved last
}

// accepts returns why a version cannot be read, if so.
func (st *state) accepts(version uint32) error {
	if st.Accepts == nil && version == st.Version || st.Accepts != nil && st.Accepts(version) {
		return nil
	}
	return fmt.Errorf("state %q: %w: it is %d, and the program writes %d", st.name, ErrStateVersion, version, st.Version)
}

// load gives a saved state to the program, once.
func (s *Service) load(ctx context.Context, saved savedState) error {
	st := s.states[saved.Name]
	if err := st.Load(ctx, saved.Version, saved.Data); err != nil {
		return fmt.Errorf("handoff: load state %q (version %d, %d bytes): %w", st.name, saved.Version, len(saved.Data), err)
	}
	st.loaded.Store(true)
	s.reporter.Count.StatesIn.Add(1)
	return nil
}

// save leaves the states of this generation for the next: each in a parcel of
// its own, which a generation that cannot read it leaves as it is.
// One that takes all its time does not take that of the others.
func (s *Service) save(ctx context.Context) error {
	var errs []error
	for _, st := range s.states {
		if !st.loaded.Load() && !s.isOwned() {
			continue // it is still another generation's
		}
		st.saved = true
		if err := s.saveOne(ctx, st); err != nil {
			errs = append(errs, fmt.Errorf("handoff: save state %q: %w: %w", st.name, ErrLost, err))
			continue
		}
		s.reporter.Count.StatesOut.Add(1)
	}
	return errors.Join(errs...)
}

func (s *Service) saveOne(ctx context.Context, st *state) error {
	var data []byte
	saving, cancel := context.WithTimeout(ctx, s.o.DrainTimeout)
	defer cancel()
	err := within(saving, func(ctx context.Context) (err error) {
		data, err = st.Save(ctx)
		return err
	})
	if err != nil {
		return err
	}
	payload := s.record(protocol.Record{Version: st.Version, Data: data})
	st.parcel = protocol.UniqueName(protocol.ParcelPrefix)
	ctx, cancel = context.WithTimeout(ctx, endTimeout)
	defer cancel()
	return s.store.leave(ctx, st.parcel, 0, parcel.Entry{Kind: protocol.KindState, Name: st.name, Payload: payload})
}

// record fills in what all records of this generation have, and marshals.
func (s *Service) record(r protocol.Record) []byte {
	r.Generation = s.generation.Load()
	r.Saved = time.Now()
	return r.Marshal()
}
