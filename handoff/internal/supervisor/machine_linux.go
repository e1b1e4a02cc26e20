package supervisor

import (
	"log/slog"
	"slices"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A machine decides, as a generation.Machine does, on one event after the other. It
// belongs to Run's goroutine.
type machine struct {
	*generation.Machine
	log      *slog.Logger
	carryOut func(effects []generation.Effect) // may feed more
	timers   *timers
	events   []generation.Event // not yet handled
	handling bool
	exit     *generation.Exit // what it has decided at last; nil: the service goes on
}

// feed has e handled, and what follows carried out; or, within carryOut, later. It
// reports whether nothing is left to be handled.
func (m *machine) feed(e generation.Event) (idle bool) {
	m.events = append(m.events, e)
	if m.handling {
		return false
	}
	m.handling = true
	for len(m.events) > 0 {
		e := m.events[0]
		m.events = slices.Delete(m.events, 0, 1)
		m.log.Debug("event", "event", e.String())
		m.carryOut(m.Handle(e))
	}
	m.handling = false
	return true
}

// renew begins anew, with another machine.
func (m *machine) renew(o generation.Options) { m.Machine = generation.New(o) }

// knows reports whether there is a generation of that number.
func (m *machine) knows(number uint64) bool {
	return slices.ContainsFunc(m.Generations(), func(g generation.Info) bool { return g.Number == number })
}

// serves reports whether a generation does, also while a successor is on its way.
func (m *machine) serves() bool {
	return slices.ContainsFunc(m.Generations(), func(g generation.Info) bool { return g.State == generation.StateServing })
}
