package reexec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// Variables that tell a program of the state that it is to go on with: the
// descriptor of the state, and that on which it says that it could, when it is
// only tried.
const (
	envState = "HANDOFFD_STATE"
	envTrial = "HANDOFFD_TRIAL"
)

// A Successor is this program where it takes the place of another one, or is tried for
// it.
type Successor struct {
	files []*os.File // in the order of their places; nil where d does not name one
	trial *os.File   // nil: it is in earnest
}

// Inherit reads into d what the program before has left for this one to go on with, and
// unsets the variables that tell of it. It returns nil where there was none, and this is
// a start. The error is ErrState for what this program does not understand.
func Inherit(d Document) (*Successor, error) {
	text, ok := os.LookupEnv(envState)
	if !ok {
		return nil, nil
	}
	trial, onTrial := os.LookupEnv(envTrial)
	os.Unsetenv(envState)
	os.Unsetenv(envTrial)
	state, err := inherited(envState, text)
	if err != nil {
		return nil, err
	}
	err = Unseal(state, d)
	state.Close()
	if err != nil {
		return nil, err
	}
	s := &Successor{}
	if onTrial {
		if s.trial, err = inherited(envTrial, trial); err != nil {
			return nil, err
		}
	}
	if err := s.own(d); err != nil {
		return nil, err
	}
	return s, nil
}

// inherited returns the descriptor that a variable names.
func inherited(variable, text string) (*os.File, error) {
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q: %w: want a descriptor", variable, text, ErrState)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "descriptor "+text), nil
}

// own takes over the descriptors.
func (s *Successor) own(d Document) error {
	h := d.header()
	writer := os.Getpid()
	if s.OnTrial() {
		writer = os.Getppid()
	}
	if h.PID != writer {
		return fmt.Errorf("%w: it is of process %d, and not for this one", ErrState, h.PID)
	}
	places := d.Places()
	for i, number := range h.Descriptors {
		if _, err := unix.FcntlInt(uintptr(number), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return fmt.Errorf("%w: descriptor %d: %w", ErrState, number, err)
		}
		f := os.NewFile(uintptr(number), "descriptor "+strconv.Itoa(number))
		if !slices.Contains(places, fd.Ref(i+1)) {
			f.Close() // of a key that this program does not know
			f = nil
		}
		s.files = append(s.files, f)
	}
	return nil
}

// File returns the file at one of the document's places. Whoever asks for it closes it.
func (s *Successor) File(place fd.Ref) *os.File { return s.files[place-1] }

// OnTrial reports whether this program is only to see if it could go on, and then to
// call Pass.
func (s *Successor) OnTrial() bool { return s.trial != nil }

// passed begins what a program says that can go on with the state.
const passed = "passed "

// Pass answers the program that tries this one. version is what it logs.
func (s *Successor) Pass(version string) error {
	_, err := s.trial.WriteString(passed + version)
	return errors.Join(err, s.trial.Close())
}
