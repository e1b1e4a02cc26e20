package handoff

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/resource"
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
	// drain and return it, and what was saved is the next generation's. Its context
	// ends after Options.DrainTimeout, or at the second SIGINT.
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
	Refuse = Unreadable(resource.Refuse)

	// Keep: the program starts without it. It waits in the store for a later
	// generation that can read it, for Options.KeepStates.
	Keep = Unreadable(resource.KeepUnreadable)

	// Drop: the program starts without it, and it is gone.
	Drop = Unreadable(resource.DropUnreadable)
)

// State has st kept under name from generation to generation. Save and Load are
// required.
func (s *Service) State(name string, st State) error {
	err := s.change(func(p *parts) error {
		if err := checkName("state", name); err != nil {
			return err
		}
		if st.Save == nil || st.Load == nil {
			return errors.New("it has no Save or no Load")
		}
		r := resource.NewState(&s.env, name, resource.StateFuncs{
			Version: st.Version, Accepts: st.Accepts,
			Save: st.Save, Resume: st.Resume, Load: st.Load,
			Unreadable: resource.Unreadable(st.Unreadable),
		}, s.o.KeepStates)
		if !p.resources.Route(protocol.KindState, name, r) {
			return ErrDuplicate
		}
		p.resources.Add(r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("handoff: state %q: %w", name, err)
	}
	return nil
}
