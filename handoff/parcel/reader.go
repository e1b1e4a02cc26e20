package parcel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReaderOptions say how a parcel is read. The zero value works.
type ReaderOptions struct {
	// MaxPayload is the largest payload of an entry that is accepted, in bytes;
	// 0 is DefaultMaxPayload.
	MaxPayload int64
}

// A Reader takes entries out of a parcel. Only one may read a parcel at a time,
// in whatever process, and only one goroutine may use a Reader; Close may be
// called by any.
type Reader struct {
	e          *endpoint
	maxPayload int64
	buf        []byte
	entries    []parsedEntry // of the message at hand

	progress
	room int64 // descriptors that the table was grown for and did not get yet
	err  error // why there is no more
}

// progress is how far a parcel has been read.
type progress struct {
	seq      uint64 // of the last message, 0 before the first
	received Counts
	taken    Counts // by others, before
}

// NewReader reads from f, the read end of a parcel, which stays the caller's:
// while a copy of it is open, what has not been received stays where it is.
// Where f is no Unix SOCK_SEQPACKET socket, errors.Is finds ErrFormat.
//
// Elsewhere than on Linux the error is errors.ErrUnsupported.
func NewReader(f *os.File, o ReaderOptions) (*Reader, error) {
	e, err := dupEndpoint(f)
	if err != nil {
		return nil, fmt.Errorf("parcel: read %s: %w", f.Name(), err)
	}
	return &Reader{e: e, maxPayload: payloadLimit(o.MaxPayload), buf: make([]byte, maxMessage)}, nil
}

// Receive takes the next message out of the parcel and returns its entries, one
// at least. It waits for a message until ctx ends.
//
// After the END record it returns io.EOF; ErrTaken instead, where another reader
// had taken messages out before; ErrTruncated, where the writer ended without an
// END record. What came until then is whole.
//
// With any other error nothing was taken out of the parcel, and a later reader
// finds the message where it is. ErrFormat and ErrVersion say that it is no
// message of a parcel or of another version's. A *LimitError says that the
// process has no room for the message's descriptors: close some and call again.
func (r *Reader) Receive(ctx context.Context) ([]*Item, error) {
	if r.err != nil {
		return nil, r.err
	}
	items, err := r.receive(ctx)
	if err != nil {
		return nil, fmt.Errorf("parcel: receive: %w", err)
	}
	if items == nil {
		return nil, r.err
	}
	return items, nil
}

func (r *Reader) receive(ctx context.Context) ([]*Item, error) {
	var (
		h      header
		items  []Item
		counts Counts
	)
	fds, err := r.e.receive(ctx, r.buf, func(m []byte, fds []int) (err error) {
		h, items, counts, err = r.open(m, fds)
		return err
	})
	if err == io.EOF {
		r.err = fmt.Errorf("parcel: after %d entries: %w", r.received.Entries, ErrTruncated)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.advance(h, counts)
	if h.Type == typeEnd {
		r.err = io.EOF
		if r.taken != (Counts{}) {
			r.err = fmt.Errorf("parcel: %d entries with %d descriptors: %w", r.taken.Entries, r.taken.Descriptors, ErrTaken)
		}
		return nil, nil
	}
	if h.Memfd {
		closeAll(fds[:1])
		fds = fds[1:]
	}
	r.makeRoom(int64(len(fds)))
	list := make([]*Item, len(items))
	for i := range items {
		n := r.entries[i].descriptors
		items[i].fds, fds = fds[:n:n], fds[n:]
		list[i] = &items[i]
	}
	return list, nil
}

// open checks message m, of which fds are the descriptors, and makes items of
// its entries, without their descriptors.
func (r *Reader) open(m []byte, fds []int) (h header, items []Item, counts Counts, err error) {
	h, body, err := parseMessage(m, r.maxPayload)
	if err == nil {
		err = r.follows(h)
	}
	if err == nil && len(fds) != h.Descriptors {
		err = fmt.Errorf("%w: message %d: %d descriptors are attached, and the header says %d", ErrFormat, h.Seq, len(fds), h.Descriptors)
	}
	if err != nil || h.Type == typeEnd {
		return h, nil, counts, err
	}
	if h.Memfd {
		mapped, unmap, err := mapMemfd(fds[0], h.BodyLen)
		if err != nil {
			return h, nil, counts, fmt.Errorf("message %d: %w", h.Seq, err)
		}
		defer unmap()
		body = mapped
	}
	r.entries, counts, err = parseBody(h, body, r.maxPayload, r.entries[:0])
	if err != nil {
		return h, nil, counts, err
	}
	items = make([]Item, len(r.entries))
	var last Item // kinds and names repeat
	for i, e := range r.entries {
		last.Kind, last.Name = again(last.Kind, e.kind), again(last.Name, e.name)
		items[i] = Item{Kind: last.Kind, Name: last.Name, Secret: e.secret}
		if len(e.payload) > 0 {
			items[i].Payload = bytes.Clone(e.payload)
		}
	}
	return h, items, counts, nil
}

// follows checks that message h may come next. Messages may be missing, which
// another reader has taken.
func (p *progress) follows(h header) error {
	if h.Seq <= p.seq {
		return fmt.Errorf("%w: message %d after message %d", ErrFormat, h.Seq, p.seq)
	}
	seen := p.received.plus(p.taken)
	gone := h.Before.minus(seen)
	if h.Seq == p.seq+1 && gone != (Counts{}) || min(gone.Entries, gone.Descriptors, gone.Bytes) < 0 {
		return fmt.Errorf("%w: message %d: it counts %+v before it, and there were %+v", ErrFormat, h.Seq, h.Before, seen)
	}
	return nil
}

// advance notes message h, with what is in it.
func (p *progress) advance(h header, counts Counts) {
	p.seq = h.Seq
	p.taken = h.Before.minus(p.received)
	p.received = p.received.plus(counts)
}

// again returns b as a string, s where it is the same.
func again(s string, b []byte) string {
	if s == string(b) {
		return s
	}
	return string(b)
}

// makeRoom grows the table of descriptors ahead of a stream of them, of which
// n more have come.
func (r *Reader) makeRoom(n int64) {
	const many = MaxDescriptors / 4
	if r.room -= n; r.room >= n || n < many {
		return
	}
	r.room = max(4096, 4*r.received.Descriptors)
	r.grow(r.room)
}

func (r *Reader) grow(n int64) {
	r.e.rc.Control(func(fd uintptr) { growTable(int(fd), n) })
}

// Received returns what this reader has taken out.
func (r *Reader) Received() Counts { return r.received }

// Taken returns what others are known to have taken out of the parcel before.
func (r *Reader) Taken() Counts { return r.taken }

// Close closes the reader's copy of the read end; a Receive that waits returns
// ErrClosed. What was not received stays in the parcel for as long as there is
// another copy.
func (r *Reader) Close() error {
	return r.e.close()
}

// Drained reports whether everything has been taken out of the parcel that f is
// the read end of, and nothing more can come, since its writer has gone. Then
// whoever keeps a copy of the read end for the case that the reader dies may
// close it.
func Drained(f *os.File) (bool, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return false, fmt.Errorf("parcel: %w", err)
	}
	var empty bool
	cerr := rc.Control(func(fd uintptr) { empty, err = drained(int(fd)) })
	if err := errors.Join(cerr, err); err != nil {
		return false, fmt.Errorf("parcel: %s: %w", f.Name(), err)
	}
	return empty, nil
}
