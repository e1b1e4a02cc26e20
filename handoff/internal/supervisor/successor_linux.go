package supervisor

import (
	"fmt"
	"os"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
	"github.com/holdfast-go/holdfast/notify"
)

// A Successor is a program that takes the place of another one, or is tried for it: see
// Reexec.
type Successor struct {
	*reexec.Successor
	st *state

	// Data and Files are what Image.Keep returned. Who closes the files is the
	// caller of Inherit.
	Data  []byte
	Files []*os.File
}

// Inherit returns what the program before has left for this one to go on with, and
// unsets the variables that tell of it; nil where there was none, and this is a
// start. The error is reexec.ErrState for what this program does not understand.
func Inherit() (*Successor, error) {
	st := new(state)
	program, err := reexec.Inherit(st)
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	if program == nil {
		return nil, nil
	}
	h := &Successor{Successor: program, st: st, Data: st.Data}
	for _, place := range st.Files {
		h.Files = append(h.Files, h.File(place))
	}
	return h, nil
}

// Restore returns the supervisor that goes on where the one before stood. Run must
// follow, unless this program is only tried. The service's manager, the options
// and the rest of the environment are as they were there.
func (h *Successor) Restore(o Options) (*Supervisor, error) {
	s, err := newSupervisor(o)
	if err == nil {
		err = s.restore(h)
	}
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	return s, nil
}

// restore does nothing that anybody else would notice.
func (s *Supervisor) restore(h *Successor) (err error) {
	st := h.st
	s.history.restore(h)
	if s.machine.Machine, err = generation.Restore(s.o.Limits, st.Machine); err != nil {
		return err
	}
	n, err := notify.Open()
	if err != nil {
		return err
	}
	s.setManager(n)
	s.manager.Restore(st.managerState)
	s.launcher.restore(st.Runtime)
	s.requests = restoreRequests(st.requestsState)
	if err := s.store.Restore(st.storeState, h.File); err != nil {
		return err
	}
	for _, f := range st.Sockets {
		s.sockets = append(s.sockets, activation.NamedFile{Name: f.Name, File: h.File(f.File)})
	}
	s.runner = process.RestoreChildren(st.RunnerState, s.post, outcomes{s}, s.log)
	for i := range st.Processes {
		p, err := s.restoreInstance(h, &st.Processes[i])
		if err != nil {
			return fmt.Errorf("generation %d: %w", st.Processes[i].Number, err)
		}
		s.instances[p.number] = p
		s.store.RestorePeer(p.number, st.Processes[i].PeerState, p.orders.deliverer)
	}
	return s.matches()
}

// matches sees to it that the machine and the rest speak of the same generations.
func (s *Supervisor) matches() error {
	for _, g := range s.machine.Generations() {
		if s.instances[g.Number] == nil {
			return fmt.Errorf("%w: generation %d has no process", reexec.ErrState, g.Number)
		}
	}
	if n := len(s.machine.Generations()); n != len(s.instances) {
		return fmt.Errorf("%w: %d generations have %d processes", reexec.ErrState, n, len(s.instances))
	}
	return nil
}

func (s *Supervisor) restoreInstance(h *Successor, st *processState) (*instance, error) {
	p := s.newInstance(st.Number, st.Program, st.Began)
	p.readiness.restore(st.readinessState)
	p.watchdog.restore(st.watchdogState)
	p.text, p.says = st.Text, st.Says
	var err error
	receiver := h.File(st.Receiver)
	if p.receiver, err = notify.FileReceiver(receiver); err != nil {
		return nil, err
	}
	if err := p.orders.restore(st.ordersState, h.File); err != nil {
		return nil, err
	}
	if p.Generation, err = s.runner.Restore(p.number, st.State, h.File); err != nil {
		return nil, err
	}
	return p, receiver.Close() // there is a duplicate
}

// continueFrom does what Run does in place of the start.
func (s *Supervisor) continueFrom(st *state) {
	s.log.Info("this program has taken over", "times", s.history.count)
	for i := range st.Processes {
		p := s.instances[st.Processes[i].Number]
		s.listen(p)
		if st.Processes[i].Vetted {
			s.vet(p)
		}
		p.readiness.resume(st.Processes[i].readinessState, p.Processes)
		p.watchdog.resume(st.Processes[i].watchdogState)
	}
	s.machine.timers.resume(st.Timers)
	s.manager.Repeat()
	s.runner.Resume()
	s.forwardFailure()
	s.store.Route()
	s.extend()
	s.change()
}
