package generation

import "fmt"

// A State is where a generation stands.
type State int

const (
	StateSpawning    State = iota + 1 // its process is being made
	StateStarting                     // it runs, and is not ready
	StateReady                        // able to serve, and accepting, before the commit
	StateHandingOver                  // committed, and taking what its predecessor releases
	StateServing                      // it is the service
	StateReleasing                    // a predecessor that hands over
	StateResuming                     // the same, going on as before because the successor failed
	StateDraining                     // told to stop, or stopping: it finishes what it has
	StateKilling                      // killed, or ended but for what it left running
	states
)

func (s State) String() string {
	return name(int(s), "", "spawning", "starting", "ready", "handing over", "serving", "releasing", "resuming", "draining", "killing")
}

// accepting reports whether a generation in this state takes new work, or is about
// to.
func (s State) accepting() bool { return s >= StateReady && s <= StateResuming }

// A generation is one run of the program that is not over yet.
type generation struct {
	Number    uint64 `json:"number"`
	State     State  `json:"state"`
	Program   string `json:"program,omitempty"`
	Resumable bool   `json:"resumable,omitempty"`
	Spawned   bool   `json:"spawned,omitempty"` // its process was made
	Exited    bool   `json:"exited,omitempty"`  // its main process has ended
	Emptied   bool   `json:"emptied,omitempty"` // all of its processes have
	Silent    bool   `json:"silent,omitempty"`  // it must be replaced
	Released  bool   `json:"released,omitempty"`
	Owned     bool   `json:"owned,omitempty"`
	Final     bool   `json:"final,omitempty"` // its exit status is the service's
	Why       string `json:"why,omitempty"`   // it is not ready yet
}

func (g *generation) String() string { return fmt.Sprintf("generation %d", g.Number) }

// An Info describes a generation.
type Info struct {
	Number  uint64
	State   State
	Program string // "" is the configured one
	Silent  bool   // its watchdog ran out: it is to be replaced
	Owns    bool   // it was told that no other holds anything
}

// A Situation is where the service stands as a whole. It says what becomes of
// what is asked for.
type Situation int

const (
	ServiceNew         Situation = iota // Start has not come
	ServiceStarting                     // a generation is spawning or starting
	ServiceReady                        // a successor is in its probation, or held
	ServiceHandingOver                  // a successor takes over
	ServiceUndoing                      // it failed in that, and the predecessor resumes
	ServiceServing                      // one generation serves, and none is coming
	ServiceDown                         // none serves, or a silent one; the respawn waits
	ServiceStopping                     // asked to stop, or giving up
	ServiceStopped                      // nothing is left
	situations
)

func (s Situation) String() string {
	return name(int(s), "new", "starting", "ready", "handing over", "undoing", "serving", "down", "stopping", "stopped")
}

// Situation returns where the service stands.
func (m *Machine) Situation() Situation {
	if m.s.Phase != phaseRunning {
		return map[phase]Situation{phaseNew: ServiceNew, phaseStopping: ServiceStopping, phaseStopped: ServiceStopped}[m.s.Phase]
	}
	if c := m.candidate(); c != nil {
		switch c.State {
		case StateReady:
			return ServiceReady
		case StateHandingOver:
			return ServiceHandingOver
		}
		return ServiceStarting
	}
	switch p := m.incumbent(); {
	case p == nil || p.State == StateServing && p.Silent:
		return ServiceDown
	case p.State == StateServing:
		return ServiceServing
	}
	return ServiceUndoing
}

// candidate returns the generation that is to serve next, if there is one.
func (m *Machine) candidate() *generation {
	return m.first(func(g *generation) bool { return g.State <= StateHandingOver })
}

// incumbent returns the generation that serves, or did until a handover that is
// not done. There is at most one.
func (m *Machine) incumbent() *generation {
	return m.first(func(g *generation) bool { return g.State >= StateServing && g.State <= StateResuming })
}

func (m *Machine) find(number uint64) *generation {
	return m.first(func(g *generation) bool { return g.Number == number })
}

// first returns the oldest generation of which is holds.
func (m *Machine) first(is func(*generation) bool) *generation {
	for _, g := range m.s.Generations {
		if is(g) {
			return g
		}
	}
	return nil
}
