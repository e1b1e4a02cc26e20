package supervisor

import (
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A Status is the service as it stands.
type Status struct {
	Situation   generation.Situation
	Rotation    string // where it is not in a load balancer's rotation: how far out
	PID         int
	Generations []GenerationStatus // oldest first
	Since       time.Time          // of the start, whatever program it was by then
	Reexecs     uint64             // how often this program was replaced since
	Last        Result             // on the last reload; Outcome is 0 if there was none
	Down        string             // why none serves any more, and what comes next; "": one does
	Words       []string           // if Down is not "": the last that the last generation wrote
	Notes       []string           // what is not as it could be
	Stored      int                // descriptors in the store
	StoreLimit  int
}

// A GenerationStatus is one generation as it stands.
type GenerationStatus struct {
	generation.Info
	PID       int // of its main process; 0: none
	Path      string
	Began     time.Time
	Committed bool   // it is, or was, the service
	Text      string // its own STATUS=
	Version   string // as it says itself
	Carried   uint64 // connections that it took over, as it says itself
	Stored    int    // descriptors that it has stored
	Memory    int64  // bytes; -1: not accounted for
	CPUUsec   int64  // -1: not accounted for
}

// Status returns the service as it stands, and a channel that is closed when that
// has changed.
func (s *Supervisor) Status() (status Status, changed <-chan struct{}, err error) {
	err = s.call(func() error {
		status, changed = s.status(), s.changed
		return nil
	})
	return status, changed, err
}

func (s *Supervisor) status() Status {
	status := Status{
		Situation: s.machine.Situation(),
		Rotation:  s.drain.stage.String(),
		PID:       os.Getpid(),
		Since:     s.history.since,
		Reexecs:   s.history.count,
		Last:      s.requests.verdict,
		Down:      s.machine.Down(),
		Notes:     s.notes(),
	}
	if status.Down != "" {
		status.Words = s.requests.words.Lines
	}
	status.Stored, status.StoreLimit = s.store.Usage()
	for _, info := range s.machine.Generations() {
		g := GenerationStatus{Info: info, Memory: -1, CPUUsec: -1}
		if p := s.instances[info.Number]; p != nil {
			g.Path, g.Began, g.Committed, g.Text = p.program, p.began, s.store.Committed(info.Number), p.text
			g.Version, g.Carried = p.says.Version, p.says.Carried
			g.Stored = s.store.Count(info.Number)
			if pid, alive := p.Main(); alive {
				g.PID = pid
			}
			g.Memory, g.CPUUsec = p.Usage()
		}
		status.Generations = append(status.Generations, g)
	}
	return status
}
