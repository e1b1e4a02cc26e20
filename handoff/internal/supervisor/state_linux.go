package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
	"github.com/holdfast-go/holdfast/handoff/internal/storeserver"
)

// A state is what one program leaves for the next one in the same process.
// A new field must be one that programs of before may ignore: see package reexec.
type state struct {
	reexec.Header

	Machine   json.RawMessage `json:"machine"`
	Timers    []timerState    `json:"timers,omitempty"`
	Processes []processState  `json:"processes,omitempty"`

	Sockets []namedRef `json:"sockets,omitempty"`
	Runtime string     `json:"runtime"`

	historyState
	storeState
	managerState
	process.RunnerState
	requestsState

	// What the program around the supervisor keeps: see Image.
	Data  []byte `json:"data,omitempty"`
	Files []ref  `json:"files,omitempty"`
}

// Two embedded fields of one name would not do.
type (
	storeState   = storeserver.State
	managerState = manager.State
)

// A ref is a place in the list of descriptors.
type ref = fd.Ref

type (
	namedRef struct {
		Name string `json:"name"`
		File ref    `json:"file"`
	}

	processState struct {
		Number  uint64    `json:"number"`
		Program string    `json:"program"`
		Began   time.Time `json:"began"`
		process.State
		storeserver.PeerState
		Receiver ref `json:"receiver"`
		ordersState
		readinessState
		watchdogState
		Says selfReport `json:"says"`
		Text string     `json:"text,omitempty"`
	}
)

// Places lists the places of all descriptors.
func (st *state) Places() []ref {
	refs := append(st.storeState.Files(), st.Files...)
	for _, s := range st.Sockets {
		refs = append(refs, s.File)
	}
	for _, p := range st.Processes {
		refs = append(refs, p.Receiver, p.Deliverer)
		refs = append(refs, p.State.Files()...)
	}
	return refs
}

// Check says what snapshot would not have returned.
func (st *state) Check() error {
	for i, t := range st.Timers {
		if slices.ContainsFunc(st.Timers[:i], func(o timerState) bool { return o.Timer == t.Timer }) {
			return fmt.Errorf("timer %d is there twice", t.Timer)
		}
	}
	for i := range st.Processes {
		p := &st.Processes[i]
		if slices.ContainsFunc(st.Processes[:i], func(o processState) bool { return o.Number == p.Number }) {
			return fmt.Errorf("generation %d is there twice", p.Number)
		}
		if err := p.State.Check(st.RunnerState); err != nil {
			return fmt.Errorf("generation %d with %w", p.Number, err)
		}
	}
	for _, c := range st.Callers {
		if c == 0 || c > st.Caller {
			return fmt.Errorf("caller %d of %d", c, st.Caller)
		}
	}
	if err := st.storeState.Check(); err != nil {
		return err
	}
	if st.Runtime == "" {
		return errors.New("no folder for sockets")
	}
	return nil
}
