package reexec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// stateVersion is raised by a change that another program would misread: see the package
// comment. It is a variable so that a test can build a program of another version.
var stateVersion = "1"

// maxState bounds a state, in bytes. It takes some hundred for each generation,
// entry and caller, which are all bounded.
const maxState = 8 << 20

// ErrState is a state that this program cannot go on with.
var ErrState = errors.New("state of another version, or none at all")

// A Header is embedded in every document, first. Nobody but this package sets it.
type Header struct {
	Version     string `json:"version"`
	PID         int    `json:"pid"` // of the process, by which a state that strayed is known
	Descriptors []int  `json:"descriptors"`
}

func (h *Header) header() *Header { return h }

// A Document is a pointer to a struct that embeds a Header.
type Document interface {
	header() *Header
	// Places lists the places of all descriptors in the document.
	Places() []fd.Ref
	// Check says what no program would have written.
	Check() error
}

// Marshal returns the document as JSON.
func Marshal(d Document) ([]byte, error) {
	d.header().Version = stateVersion
	b, err := json.Marshal(d)
	if err == nil && len(b) > maxState {
		err = fmt.Errorf("%d bytes, and at most %d are read", len(b), maxState)
	}
	if err != nil {
		return nil, fmt.Errorf("write the state: %w", err)
	}
	return b, nil
}

// Unmarshal reads into d what Marshal has written, in this program or another one. An
// error is ErrState.
func Unmarshal(b []byte, d Document) error {
	var head Header
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if head.Version != stateVersion {
		return fmt.Errorf("%w: version %q, and this program reads %q", ErrState, head.Version, stateVersion)
	}
	err := json.Unmarshal(b, d)
	if err == nil {
		err = d.header().check(d.Places())
	}
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

// check sees to it that each descriptor has one use at most. One that has none is of a
// key that this program does not know.
func (h *Header) check(places []fd.Ref) error {
	for i, fd := range h.Descriptors {
		if fd < 3 || slices.Contains(h.Descriptors[:i], fd) {
			return fmt.Errorf("descriptor %d", fd)
		}
	}
	used := make([]bool, len(h.Descriptors))
	for _, r := range places {
		if r < 1 || int(r) > len(used) || used[r-1] {
			return fmt.Errorf("a reference to descriptor %d of %d, or two", r, len(used))
		}
		used[r-1] = true
	}
	if h.PID < 1 {
		return fmt.Errorf("PID %d", h.PID)
	}
	return nil
}

// The seals of a state: it is as it was written.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// Seal writes the document into a file of memory that nobody can change.
func Seal(d Document) (*os.File, error) {
	b, err := Marshal(d)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("handoffd-state", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "state")
	if _, err = f.Write(b); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the state: %w", err)
	}
	return f, nil
}

// Unseal reads into d what Seal has written. An error is ErrState, but where f cannot be
// read.
func Unseal(f *os.File, d Document) error {
	got := 0
	err := fd.With(f, func(fd int) (err error) {
		got, err = unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
		return err
	})
	if err != nil || got&seals != seals {
		return fmt.Errorf("%w: %s is no sealed file", ErrState, f.Name())
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxState+1))
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	if len(b) > maxState {
		return fmt.Errorf("%w: more than %d bytes", ErrState, maxState)
	}
	return Unmarshal(b, d)
}
