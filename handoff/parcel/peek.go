package parcel

import (
	"errors"
	"fmt"
	"math"
)

// Contents is what Peek found in a parcel.
type Contents struct {
	Counts           // what waits in it
	Taken     Counts // what others had taken out before
	Complete  bool   // its END record is there
	Truncated bool   // its END record is not, and never will be
}

// Peek checks every message that waits in the parcel and calls visit, where not
// nil, for each entry, so that a successor knows whether it can read what it is
// given before it takes anything. The payload is not visit's to keep. Peek takes
// nothing out and does not wait; with a live writer more may come afterwards.
//
// ErrFormat and ErrVersion are as for Receive, and an error of visit is wrapped.
// A *LimitError says that the process has no room for the descriptors that wait;
// then the Contents are right nevertheless. Of the descriptors nothing but the
// memfds is looked at: Receive counts them before it takes them.
func (r *Reader) Peek(visit func(kind, name string, payload []byte) error) (Contents, error) {
	w := walk{reader: r, progress: r.progress, visit: visit}
	var err error
	cerr := r.e.rc.Control(func(fd uintptr) {
		err = errors.Join(w.all(int(fd)), setPeekOffset(int(fd), -1))
		if err == nil {
			err = r.expect(int(fd), w.found)
		}
	})
	if cerr != nil {
		err = ErrClosed
	}
	w.found.Taken = w.taken
	if err != nil {
		return w.found, fmt.Errorf("parcel: peek: %w", err)
	}
	return w.found, nil
}

// expect prepares the process for the descriptors that were found.
func (r *Reader) expect(fd int, found Contents) error {
	if err := roomFor(found.Descriptors); err != nil {
		return err
	}
	growTable(fd, found.Descriptors)
	r.room = found.Descriptors
	if found.Complete || found.Truncated {
		r.room = math.MaxInt64 // no more will come
	}
	return nil
}

// A walk goes through the messages of a queue without taking them out.
type walk struct {
	reader *Reader
	progress
	visit  func(kind, name string, payload []byte) error
	offset int // of the next message, in bytes
	found  Contents
}

func (w *walk) all(fd int) error {
	for {
		if err := setPeekOffset(fd, w.offset); err != nil {
			return err
		}
		// One descriptor is enough for a memfd: the others stay unseen.
		m, err := peekMessage(fd, w.reader.buf, 1)
		switch {
		case wouldBlock(err):
			return nil
		case err != nil:
			return err
		case len(m.data) == 0 && len(m.fds) == 0:
			w.found.Truncated = !w.found.Complete
			return nil
		}
		err = w.one(m)
		closeAll(m.fds)
		if err != nil {
			return err
		}
		w.offset += len(m.data)
	}
}

// one checks message m.
func (w *walk) one(m message) error {
	h, body, err := parseMessage(m.data, w.reader.maxPayload)
	if err == nil {
		err = m.cut()
	}
	if err == nil {
		err = w.follows(h)
	}
	if err == nil && w.found.Complete {
		err = fmt.Errorf("%w: message %d after the END record", ErrFormat, h.Seq)
	}
	if err != nil {
		return err
	}
	if h.Type == typeEnd {
		w.found.Complete = true
		w.advance(h, Counts{})
		return nil
	}
	if h.Memfd {
		if len(m.fds) == 0 {
			return m.problem()
		}
		mapped, unmap, err := mapMemfd(m.fds[0], h.BodyLen)
		if err != nil {
			return fmt.Errorf("message %d: %w", h.Seq, err)
		}
		defer unmap()
		body = mapped
	}
	entries, counts, err := parseBody(h, body, w.reader.maxPayload, w.reader.entries[:0])
	if err != nil {
		return err
	}
	w.reader.entries = entries
	for _, e := range entries {
		if w.visit == nil {
			break
		}
		if err := w.visit(string(e.kind), string(e.name), e.payload); err != nil {
			return fmt.Errorf("%s %q: %w", e.kind, e.name, err)
		}
	}
	w.advance(h, counts)
	w.found.Counts = w.found.Counts.plus(counts)
	return nil
}
