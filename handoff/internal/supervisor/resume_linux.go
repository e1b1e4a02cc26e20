package supervisor

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// A Heir is a program that takes the place of another one, or is tried for it: see
// Reexec.
type Heir struct {
	st    *state
	files []*os.File // in the order of the references
	trial *os.File   // nil: it is in earnest

	// Data and Files are what Image.Keep returned. Who closes the files is the
	// caller of Inherit.
	Data  []byte
	Files []*os.File
}

// Inherit returns what the program before has left for this one to go on with, and
// unsets the variables that tell of it; nil where there was none, and this is a
// start. The error is ErrState for what this program does not understand.
func Inherit() (*Heir, error) {
	text, ok := os.LookupEnv(envState)
	if !ok {
		return nil, nil
	}
	trial, onTrial := os.LookupEnv(envTrial)
	os.Unsetenv(envState)
	os.Unsetenv(envTrial)
	h := &Heir{}
	err := h.read(text)
	if err == nil && onTrial {
		h.trial, err = trialFrom(trial)
	}
	if err == nil {
		err = h.own()
	}
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	return h, nil
}

// read reads the state.
func (h *Heir) read(text string) error {
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return fmt.Errorf("%s=%q: %w: want a descriptor", envState, text, ErrState)
	}
	unix.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), envState)
	defer f.Close()
	h.st, err = unseal(f)
	return err
}

// own takes over the descriptors.
func (h *Heir) own() error {
	writer := os.Getpid()
	if h.OnTrial() {
		writer = os.Getppid()
	}
	if h.st.PID != writer {
		return fmt.Errorf("%w: it is of process %d, and not for this one", ErrState, h.st.PID)
	}
	for _, fd := range h.st.Descriptors {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return fmt.Errorf("%w: descriptor %d: %w", ErrState, fd, err)
		}
		h.files = append(h.files, os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd)))
	}
	h.Data = h.st.Data
	for _, r := range h.st.Files {
		h.Files = append(h.Files, h.file(r))
	}
	return nil
}

func (h *Heir) file(r ref) *os.File { return h.files[r-1] }

// Restore returns the supervisor that goes on where the one before stood. Run must
// follow, unless this program is only tried. The service's manager, the options
// and the rest of the environment are as they were there.
func (h *Heir) Restore(o Options) (*Supervisor, error) {
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
func (s *Supervisor) restore(h *Heir) (err error) {
	st := h.st
	s.heir = h
	if s.machine.Machine, err = generation.Restore(s.o.Limits, st.Machine); err != nil {
		return err
	}
	n, err := notify.Open()
	if err != nil {
		return err
	}
	s.setManager(n)
	s.manager.Restore(st.managerState)
	s.environ = programEnviron()
	s.since, s.reexecs, s.runtime = st.Since, st.Reexecs+1, st.Runtime
	s.requests = restoreRequests(st.requestsState)
	if err := s.store.Restore(st.storeState, h.file); err != nil {
		return err
	}
	for _, f := range st.Sockets {
		s.sockets = append(s.sockets, activation.NamedFile{Name: f.Name, File: h.file(f.File)})
	}
	s.runner = process.RestoreChildren(st.RunnerState, s.post, outcomes{s}, s.log)
	for i := range st.Processes {
		p, err := s.restoreInstance(h, &st.Processes[i])
		if err != nil {
			return fmt.Errorf("generation %d: %w", st.Processes[i].Number, err)
		}
		s.instances[p.number] = p
		s.store.RestorePeer(p.number, st.Processes[i].PeerState, p.deliverer)
	}
	return s.matches()
}

// matches sees to it that the machine and the rest speak of the same generations.
func (s *Supervisor) matches() error {
	for _, g := range s.machine.Generations() {
		if s.instances[g.Number] == nil {
			return fmt.Errorf("%w: generation %d has no process", ErrState, g.Number)
		}
	}
	if n := len(s.machine.Generations()); n != len(s.instances) {
		return fmt.Errorf("%w: %d generations have %d processes", ErrState, n, len(s.instances))
	}
	return nil
}

func (s *Supervisor) restoreInstance(h *Heir, st *processState) (*instance, error) {
	p := s.newInstance(st.Number, st.Program, st.Began)
	p.readiness.restore(st.readinessState)
	p.watchdog.restore(st.watchdogState)
	p.text, p.says = st.Text, st.Says
	p.resumable, p.releaseTo = st.Resumable, st.ReleaseTo
	var err error
	receiver, deliverer := h.file(st.Receiver), h.file(st.Deliverer)
	if p.receiver, err = notify.FileReceiver(receiver); err != nil {
		return nil, err
	}
	if p.deliverer, err = parcel.ResumeDeliverer(deliverer, st.LastDelivery); err != nil {
		return nil, err
	}
	if p.Generation, err = s.runner.Restore(p.number, st.State, h.file); err != nil {
		return nil, err
	}
	return p, errors.Join(receiver.Close(), deliverer.Close()) // there are duplicates
}

// goOn does what Run does in place of the start.
func (s *Supervisor) goOn(st *state) {
	s.log.Info("this program has taken over", "times", s.reexecs)
	for i := range st.Processes {
		s.goOnWith(s.instances[st.Processes[i].Number], &st.Processes[i])
	}
	s.timers.resume(st.Timers)
	s.manager.Repeat()
	s.runner.Resume()
	s.forwardFailure()
	s.store.Route()
	s.extend()
	s.change()
}

func (s *Supervisor) goOnWith(p *instance, st *processState) {
	s.listen(p)
	p.readiness.resume(st.readinessState)
	p.watchdog.resume(st.watchdogState)
}
