package process

import (
	"fmt"
	"path/filepath"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A State is a generation as one program leaves it to the next one in the same process.
type State struct {
	Main    bool                   `json:"main,omitempty"` // its main process runs, or was not waited for
	PID     int                    `json:"pid"`            // of the main process, the last one that it had
	PGID    int                    `json:"pgid"`
	Cgroup  string                 `json:"cgroup,omitempty"` // "": there are process groups only
	Output  fd.Ref                 `json:"output"`           // where the descriptor is of what it writes
	Tail    []byte                 `json:"tail,omitempty"`   // its last output
	Reaped  *generation.ExitStatus `json:"reaped,omitempty"` // of the main process, until that was told
	Exited  bool                   `json:"exited,omitempty"` // that was told
	Emptied bool                   `json:"emptied,omitempty"`
}

// A RunnerState is what all generations have in common.
type RunnerState struct {
	Cgroups string `json:"cgroups,omitempty"` // the service's own cgroup, as a folder; "": there are none
	Note    string `json:"note,omitempty"`    // what is not as it could be
}

// Files lists the places of the descriptors in st.
func (st *State) Files() []fd.Ref { return []fd.Ref{st.Output} }

// Check says what Snapshot would not have returned, of a Runner with the state r.
func (st *State) Check(r RunnerState) error {
	switch {
	case st.PID < 2 || st.PGID < 2 || st.Main == st.Exited:
		return fmt.Errorf("PID %d, group %d, main process %v, exited %v", st.PID, st.PGID, st.Main, st.Exited)
	case (st.Cgroup == "") != (r.Cgroups == ""), st.Cgroup != "" && filepath.Dir(st.Cgroup) != r.Cgroups:
		return fmt.Errorf("cgroup %q below %q", st.Cgroup, r.Cgroups)
	}
	return nil
}
