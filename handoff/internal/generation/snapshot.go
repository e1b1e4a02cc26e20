package generation

import (
	"encoding/json"
	"errors"
	"fmt"
)

// snapshotVersion is raised by a change that another program would misread: do harm by
// ignoring a field that it does not know. The comment of package reexec says what may be
// changed without that.
const snapshotVersion = 1

var (
	// ErrVersion is a snapshot of a version that this program does not know.
	ErrVersion = errors.New("unknown version")
	// ErrSnapshot is a snapshot that no machine has written.
	ErrSnapshot = errors.New("malformed snapshot")
)

// A snapshot is all that a machine knows, apart from its options.
type snapshot struct {
	Version     int           `json:"version"`
	Phase       phase         `json:"phase"`
	Last        uint64        `json:"last,omitempty"` // number of the newest generation
	Generations []*generation `json:"generations,omitempty"`
	Timers      []timer       `json:"timers,omitempty"`
	LastTimer   uint64        `json:"last_timer,omitempty"`

	Served    bool       `json:"served,omitempty"`  // a generation was the service once
	Program   string     `json:"program,omitempty"` // of the last one that was
	Target    uint64     `json:"target,omitempty"`  // of Deliver
	Due       bool       `json:"due,omitempty"`     // the pause before a respawn has passed
	Deaths    int        `json:"deaths,omitempty"`
	LastDeath ExitStatus `json:"last_death"`
	Down      string     `json:"down,omitempty"`    // how the last of them came about
	GiveUp    bool       `json:"give_up,omitempty"` // the time for that has come
	Exit      ExitStatus `json:"exit"`
	GaveUp    string     `json:"gave_up,omitempty"`

	Request   *request  `json:"request,omitempty"` // the reload under way
	Waiting   []request `json:"waiting,omitempty"`
	Reloading bool      `json:"reloading,omitempty"` // as the service manager sees it
	Verdict   Verdict   `json:"verdict"`
	Status    string    `json:"status,omitempty"`
}

// Snapshot returns all that the machine knows, for another one to go on with. The
// effects of the last Handle have been carried out by then.
func (m *Machine) Snapshot() ([]byte, error) {
	s := m.s
	s.Version = snapshotVersion
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("generation: snapshot: %w", err)
	}
	return b, nil
}

// Restore returns a machine that goes on where the one that wrote the snapshot
// stood, with options of its own. Timers run on: the supervisor keeps what is
// left of each. An error is ErrVersion or ErrSnapshot.
func Restore(o Options, b []byte) (*Machine, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("generation: restore: %w: %w", ErrSnapshot, err)
	}
	if head.Version != snapshotVersion {
		return nil, fmt.Errorf("generation: restore: %w: %d, want %d", ErrVersion, head.Version, snapshotVersion)
	}
	m := New(o)
	err := json.Unmarshal(b, &m.s)
	if err == nil {
		err = m.s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("generation: restore: %w: %w", ErrSnapshot, err)
	}
	return m, nil
}
