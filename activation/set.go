package activation

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// Set is what a process inherited. Each descriptor can be taken from it once;
// from then on it belongs to whoever took it. What is left belongs to the Set
// until Close. The zero Set is that of a process that was not activated.
//
// All methods may be called at the same time from several goroutines.
type Set struct {
	err                    error // why Inherit could not tell what was passed
	remoteAddr, remotePort string

	mu      sync.Mutex
	entries []entry
	closed  bool
}

// entry is one inherited descriptor.
type entry struct {
	name  string
	fd    int
	taken bool
	file  *os.File // made when it is first needed, and then the owner of fd
}

func (e *entry) open() *os.File {
	if e.file == nil {
		e.file = os.NewFile(uintptr(e.fd), e.name)
	}
	return e.file
}

func (e *entry) describe() Descriptor {
	k, _ := inspect(e.fd) // a descriptor that cannot be inspected says so itself
	return Descriptor{Name: e.name, FD: e.fd, Kind: k}
}

// Activated tells whether the process was passed descriptors, or variables that
// made no sense.
func (s *Set) Activated() bool {
	return len(s.entries) > 0 || s.err != nil
}

// Names returns the names of all inherited descriptors, taken or not, in the
// order in which they came and each once.
func (s *Set) Names() []string {
	var names []string
	seen := make(map[string]bool)
	for i := range s.entries {
		if name := s.entries[i].name; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// Remote returns REMOTE_ADDR and REMOTE_PORT, in which the manager of a socket
// with Accept=yes gives the peer's address. Both are empty otherwise, and for a
// Unix peer the port always is, and the address mostly. The connection's own
// RemoteAddr says the same.
func (s *Set) Remote() (addr, port string) {
	return s.remoteAddr, s.remotePort
}

// Unclaimed describes the descriptors that nobody has taken yet, in order.
func (s *Set) Unclaimed() []Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unclaimed()
}

func (s *Set) unclaimed() []Descriptor {
	var list []Descriptor
	for i := range s.entries {
		if e := &s.entries[i]; !e.taken {
			list = append(list, e.describe())
		}
	}
	return list
}

// Close closes the descriptors that nobody took. If there are any, which mostly
// means a unit file with a name the program does not know, errors.As finds an
// *UnclaimedError that lists them; else Close returns nil. What was taken is not touched.
//
// A second Close does nothing. After Close, taking fails with os.ErrClosed.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	left := s.unclaimed()
	if len(left) == 0 {
		return nil
	}
	failed := []error{&UnclaimedError{Descriptors: left}}
	for i := range s.entries {
		e := &s.entries[i]
		if e.taken {
			continue
		}
		e.taken = true
		if err := e.open().Close(); err != nil {
			failed = append(failed, fmt.Errorf("activation: close %q (fd %d): %w", e.name, e.fd, err))
		}
	}
	return errors.Join(failed...)
}

// candidate is an entry that is of the wanted kind.
type candidate struct {
	*entry
	kind Kind
}

// find returns the entries called name, not yet taken, that match. It fails
// rather than return none. The caller holds s.mu.
func (s *Set) find(what, name string, match func(Kind) bool, want string) ([]candidate, error) {
	fail := func(err error) ([]candidate, error) {
		return nil, fmt.Errorf("activation: %s %q: %w", what, name, err)
	}
	switch {
	case s.closed:
		return fail(os.ErrClosed)
	case s.err != nil:
		return fail(s.err)
	case len(s.entries) == 0:
		return fail(ErrNotActivated)
	}
	var found, others []candidate
	known := false
	for i := range s.entries {
		e := &s.entries[i]
		if e.name != name {
			continue
		}
		known = true
		if e.taken {
			continue
		}
		k, err := inspect(e.fd)
		if err != nil {
			return nil, fmt.Errorf("activation: %s %q (fd %d): %w", what, name, e.fd, err)
		}
		if match(k) {
			found = append(found, candidate{e, k})
		} else {
			others = append(others, candidate{e, k})
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(others) > 0:
		return fail(fmt.Errorf("%w: got %s; want %s", ErrKind, listed(others), want))
	case known:
		return fail(ErrTaken)
	}
	names := s.Names()
	slices.Sort(names)
	return fail(fmt.Errorf("%w: there are %q", ErrNoName, names))
}

// listed describes candidates for a message.
func listed(candidates []candidate) string {
	var list []string
	for _, c := range candidates {
		list = append(list, fmt.Sprintf("fd %d, a %v", c.fd, c.kind))
	}
	return strings.Join(list, ", and ")
}
