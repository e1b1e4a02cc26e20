package supervisor

import (
	"fmt"

	"github.com/holdfast-go/holdfast/handoff/internal/backlog"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// queues are those of the listeners. They belong to Run's goroutine.
type queues struct {
	watcher *backlog.Watcher
	stuck   map[string]backlog.State // from which nobody takes a client, by name and address
}

// watchQueues has it noticed from now on that nobody accepts.
func (s *Supervisor) watchQueues() {
	s.queues.stuck = make(map[string]backlog.State)
	watcher, err := backlog.Watch(s.sockets, backlog.Options{}, func(state backlog.State) {
		s.post(func() { s.queueChanged(state) })
	})
	if err != nil {
		s.log.Warn("nobody will notice if no generation accepts: RestrictAddressFamilies= of the unit must have AF_NETLINK", "reason", err)
		return
	}
	s.queues.watcher = watcher
}

// close ends the watch, once nothing is posted any more.
func (q *queues) close() {
	if q.watcher != nil {
		q.watcher.Close()
	}
}

// queueChanged deals with a queue from which nobody takes a client, or somebody again.
func (s *Supervisor) queueChanged(state backlog.State) {
	key := fmt.Sprint(state.Name, " ", state.Address)
	_, was := s.queues.stuck[key]
	if state.Stuck() {
		s.queues.stuck[key] = state
	} else {
		delete(s.queues.stuck, key)
	}
	s.notesChanged()
	switch {
	case !state.Stuck():
		s.log.Info(state.String())
	case !was:
		s.log.Warn(state.String())
		s.blameForQueue(state)
	}
}

// blameForQueue undoes a successor that should have taken the clients, whom its
// predecessor does not take either.
func (s *Supervisor) blameForQueue(state backlog.State) {
	for _, g := range s.machine.Generations() {
		if g.State == generation.StateReady || g.State == generation.StateHandingOver {
			s.feed(generation.Unfit{Gen: g.Number, Reason: state.String()})
			return
		}
	}
}
