package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/storeserver"
)

// stateVersion is raised by every change that another program would misunderstand,
// new fields included. It is a variable so that a test can build a program of
// another version.
var stateVersion = "1"

// maxState bounds a state, in bytes. It takes some hundred for each generation,
// entry and caller, which are all bounded.
const maxState = 8 << 20

// ErrState is a state that this program cannot go on with.
var ErrState = errors.New("state of another version, or none at all")

// A state is what one program leaves for the next one in the same process.
// Descriptors are in one list, and elsewhere they are refs to it.
type state struct {
	Version     string `json:"version"`
	PID         int    `json:"pid"` // of the process, by which a state that strayed is known
	Descriptors []int  `json:"descriptors"`

	Machine   json.RawMessage `json:"machine"`
	Timers    []timerState    `json:"timers,omitempty"`
	Processes []processState  `json:"processes,omitempty"`

	Sockets []namedRef `json:"sockets,omitempty"`
	Runtime string     `json:"runtime"`
	Since   time.Time  `json:"since"`
	Reexecs uint64     `json:"reexecs,omitempty"`

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
		Receiver     ref    `json:"receiver"`
		Deliverer    ref    `json:"deliverer"`
		LastDelivery uint64 `json:"last_delivery,omitempty"`
		readinessState
		watchdogState
		Says      selfReport `json:"says"`
		Text      string     `json:"text,omitempty"`
		Resumable bool       `json:"resumable,omitempty"`
		ReleaseTo uint64     `json:"release_to,omitempty"`
	}
)

func (st *state) encode() ([]byte, error) {
	st.Version = stateVersion
	b, err := json.Marshal(st)
	if err == nil && len(b) > maxState {
		err = fmt.Errorf("%d bytes, and at most %d are read", len(b), maxState)
	}
	if err != nil {
		return nil, fmt.Errorf("write the state: %w", err)
	}
	return b, nil
}

// parseState reads what encode has written. An error is ErrState.
func parseState(b []byte) (*state, error) {
	var head struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if head.Version != stateVersion {
		return nil, fmt.Errorf("%w: version %q, and this program reads %q", ErrState, head.Version, stateVersion)
	}
	st := new(state)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(st)
	if err == nil {
		err = st.check()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	return st, nil
}

// check says what encode would not have written.
func (st *state) check() error {
	for i, fd := range st.Descriptors {
		if fd < 3 || slices.Contains(st.Descriptors[:i], fd) {
			return fmt.Errorf("descriptor %d", fd)
		}
	}
	if err := st.checkRefs(); err != nil {
		return err
	}
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
	if st.PID < 1 || st.Runtime == "" {
		return fmt.Errorf("PID %d, sockets in %q", st.PID, st.Runtime)
	}
	return nil
}

// checkRefs sees to it that each descriptor has one use.
func (st *state) checkRefs() error {
	used := make([]bool, len(st.Descriptors))
	refs := append(st.storeState.Files(), st.Files...)
	for _, s := range st.Sockets {
		refs = append(refs, s.File)
	}
	for _, p := range st.Processes {
		refs = append(refs, p.Receiver, p.Deliverer)
		refs = append(refs, p.State.Files()...)
	}
	for _, r := range refs {
		if r < 1 || int(r) > len(used) || used[r-1] {
			return fmt.Errorf("a reference to descriptor %d of %d, or two", r, len(used))
		}
		used[r-1] = true
	}
	if i := slices.Index(used, false); i >= 0 {
		return fmt.Errorf("descriptor %d is for nothing", i+1)
	}
	return nil
}
