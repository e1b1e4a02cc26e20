package parcel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// A Deliverer is a manager's end of HANDOFF_SOCKET, for one generation.
type Deliverer struct {
	e    *endpoint
	buf  []byte
	mu   sync.Mutex    // held while sending
	last atomic.Uint64 // of the deliveries' IDs
}

// NewDeliverer makes both ends of a HANDOFF_SOCKET. The child's is for the
// generation to inherit under the number that the variable then names, and is
// the caller's to close once the generation was started; a copy left open hides
// the generation's end. It is in blocking mode.
//
// Elsewhere than on Linux the error is errors.ErrUnsupported.
func NewDeliverer() (d *Deliverer, child *os.File, err error) {
	e, child, err := newPair()
	if err != nil {
		return nil, nil, fmt.Errorf("parcel: new deliverer: %w", err)
	}
	return newDeliverer(e, 0), child, nil
}

// ResumeDeliverer works on a copy of f, a manager's end that was carried over
// the manager's own replacement (see Dup); last is what Last returned.
func ResumeDeliverer(f *os.File, last uint64) (*Deliverer, error) {
	e, err := dupEndpoint(f)
	if err != nil {
		return nil, fmt.Errorf("parcel: %s: %w", f.Name(), err)
	}
	return newDeliverer(e, last), nil
}

func newDeliverer(e *endpoint, last uint64) *Deliverer {
	d := &Deliverer{e: e, buf: make([]byte, maxDelivery)}
	d.last.Store(last)
	return d
}

// Deliver sends copies of files under name, and returns the ID by which the
// generation will acknowledge them. The files stay the caller's, who keeps them
// until then. A generation that does not read fills the queue, after hundreds of
// deliveries; Deliver waits for room until ctx ends.
//
// A name that LISTEN_FDNAMES could not carry is refused, as are no files and
// more than 253. ErrNoReader says that the generation has gone.
func (d *Deliverer) Deliver(ctx context.Context, name string, files ...*os.File) (uint64, error) {
	if err := checkFDName(name); err != nil {
		return 0, fmt.Errorf("parcel: deliver: %w", err)
	}
	if n := len(files); n == 0 || n > maxDescriptors {
		return 0, fmt.Errorf("parcel: deliver %q: %d files, want 1 to %d", name, n, maxDescriptors)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.last.Add(1) // before the generation can acknowledge it
	if err := d.e.sendNote(ctx, note{id: id, name: name}, files); err != nil {
		return 0, fmt.Errorf("parcel: deliver %q: %w", name, err)
	}
	return id, nil
}

// Owned tells the generation that no predecessor holds anything any more: all
// that they left behind was delivered before, or inherited.
func (d *Deliverer) Owned(ctx context.Context) error {
	return d.order(ctx, "tell that all is owned", note{owned: true})
}

// Quiesce tells the generation that the service leaves a load balancer's rotation,
// or, with away false, that it stays after all.
func (d *Deliverer) Quiesce(ctx context.Context, away bool) error {
	return d.order(ctx, "tell of the rotation", note{quiesce: away, rejoin: !away})
}

// Release has the generation give up what only one may hold. number, above 0, is
// the caller's choice, and comes back in Reply.Released. It is for a generation
// that has said that it can (Resumable); another one ignores it.
func (d *Deliverer) Release(ctx context.Context, number uint64) error {
	return d.order(ctx, fmt.Sprintf("release %d", number), note{release: number})
}

// Resume has the generation go on as before the Release of that number. What comes
// back to it is delivered before, or later. number comes back in Reply.Resumed.
func (d *Deliverer) Resume(ctx context.Context, number uint64) error {
	return d.order(ctx, fmt.Sprintf("resume %d", number), note{resume: number})
}

func (d *Deliverer) order(ctx context.Context, op string, n note) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.e.sendNote(ctx, n, nil); err != nil {
		return fmt.Errorf("parcel: %s: %w", op, err)
	}
	return nil
}

// A Reply is what a generation says to its manager. Mostly one field is not 0.
type Reply struct {
	Taken    uint64 // the ID of a delivery: see Intake.Taken
	Released uint64 // the number of a Release that was carried out
	Resumed  uint64 // the number of a Resume that was carried out
}

// Next waits until ctx ends for the generation to say something. Only one goroutine
// may call it at a time. It returns io.EOF when the generation has gone or closed
// its end, and ErrClosed after Close. What makes no sense, such as an
// acknowledgement of what was not delivered, is ErrFormat or ErrVersion, and stays
// in the queue: the generation cannot be talked with.
func (d *Deliverer) Next(ctx context.Context) (Reply, error) {
	for {
		var n note
		fds, err := d.e.receive(ctx, d.buf, func(m []byte, fds []int) (err error) {
			if n, err = parseNote(m, len(fds)); err == nil && n.Taken > d.Last() {
				err = fmt.Errorf("%w: delivery %d is acknowledged, and the last was %d", ErrFormat, n.Taken, d.Last())
			}
			return err
		})
		if err == io.EOF {
			return Reply{}, io.EOF
		}
		if err != nil {
			return Reply{}, fmt.Errorf("parcel: next reply: %w", err)
		}
		closeAll(fds)
		if n.Reply != (Reply{}) {
			return n.Reply, nil
		}
	}
}

// Last returns the last delivery's ID, 0 before the first.
func (d *Deliverer) Last() uint64 { return d.last.Load() }

// Dup returns a copy of the manager's end, to be carried over an exec.
func (d *Deliverer) Dup() (*os.File, error) {
	var (
		f   *os.File
		err error
	)
	if d.e.rc.Control(func(fd uintptr) { f, err = dupSocket(int(fd)) }) != nil {
		err = ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("parcel: duplicate a deliverer: %w", err)
	}
	return f, nil
}

// Close closes the manager's end; a Next that waits returns ErrClosed. The
// generation takes it that nothing more will come.
func (d *Deliverer) Close() error { return d.e.close() }

// sendNote sends n with copies of files.
func (e *endpoint) sendNote(ctx context.Context, n note, files []*os.File) error {
	conns := make([]syscall.RawConn, len(files))
	for i, f := range files {
		rc, err := f.SyscallConn()
		if err != nil {
			return err
		}
		conns[i] = rc
	}
	op := fmt.Sprintf("send %d descriptors", len(files))
	return e.write(ctx, true, func(fd int) error {
		var sent error
		if i, err := hold(conns, nil, func(fds []int) { sent = sendMessage(fd, n.text(), fds) }); err != nil {
			return fmt.Errorf("%s: %w", files[i].Name(), errors.Join(os.ErrClosed, err))
		}
		if sent == nil || wouldBlock(sent) {
			return sent
		}
		return sendLimit(fd, op, Counts{Descriptors: int64(len(files))}, sent)
	})
}
