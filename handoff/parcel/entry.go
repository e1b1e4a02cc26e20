package parcel

import (
	"fmt"
	"syscall"
)

// What one entry may hold, and what one message may.
const (
	// MaxDescriptors is the most descriptors that one entry may carry, and one
	// message. The kernel's limit is 253 (SCM_MAX_FD, unix(7)); one of them is
	// kept for the memfd that holds a message's body.
	MaxDescriptors = 252

	// MaxName is the longest kind and the longest name of an entry, in bytes.
	MaxName = 255

	// DefaultMaxPayload is the largest payload of an entry where the options do
	// not say otherwise, in bytes.
	DefaultMaxPayload = 1 << 30
)

// An Entry is one thing put into a parcel: what it is called, bytes, and
// descriptors.
type Entry struct {
	// Kind says what the entry is, such as "conn" or "state", and Name which one
	// of its kind, such as the name of a listener. Both are the caller's own, at
	// most MaxName bytes; several entries may have the same.
	Kind, Name string

	// Payload travels with the descriptors. The writer reads it until Done has
	// been called.
	Payload []byte

	// Secret keeps the payload out of the socket's own buffers: its message's
	// body travels in a sealed memfd whatever its size.
	Secret bool

	// Descriptors travel in this order: *os.File, *net.TCPConn, *net.UnixConn,
	// *Conn, a listener, or whatever else gives access to a descriptor. They stay
	// the caller's, and must stay open until Done has been called. The kernel
	// makes the copies in flight: closing one's own afterwards does not disturb
	// them.
	Descriptors []syscall.Conn

	// Done, where not nil, is called exactly once for an entry that Put has
	// taken. With nil the entry is in the parcel, and the caller may close its
	// copies of the descriptors. With an error it is not, and never will be by
	// this writer: everything is still the caller's. A Put, a Flush, a Close or the
	// writer's timer calls it, with no lock held.
	Done func(error)
}

func (e *Entry) done(err error) {
	if e.Done != nil {
		e.Done(err)
	}
}

func (e *Entry) check(maxPayload int64) error {
	switch {
	case len(e.Kind) > MaxName:
		return fmt.Errorf("kind %.32q... has %d bytes, want at most %d", e.Kind, len(e.Kind), MaxName)
	case len(e.Name) > MaxName:
		return fmt.Errorf("name %.32q... has %d bytes, want at most %d", e.Name, len(e.Name), MaxName)
	case int64(len(e.Payload)) > maxPayload:
		return fmt.Errorf("%s %q: payload has %d bytes, want at most %d", e.Kind, e.Name, len(e.Payload), maxPayload)
	case len(e.Descriptors) > MaxDescriptors:
		return fmt.Errorf("%s %q: %d descriptors, want at most %d", e.Kind, e.Name, len(e.Descriptors), MaxDescriptors)
	}
	for i, d := range e.Descriptors {
		if d == nil {
			return fmt.Errorf("%s %q: descriptor %d is nil", e.Kind, e.Name, i)
		}
	}
	return nil
}

// Counts says how much there is of something: entries, the descriptors that
// they carry, and the bytes of their payloads.
type Counts struct {
	Entries, Descriptors, Bytes int64
}

func (c Counts) plus(d Counts) Counts {
	return Counts{c.Entries + d.Entries, c.Descriptors + d.Descriptors, c.Bytes + d.Bytes}
}

func (c Counts) minus(d Counts) Counts {
	return Counts{c.Entries - d.Entries, c.Descriptors - d.Descriptors, c.Bytes - d.Bytes}
}
