package fdstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// maxParcels bounds how many parcels one Outgoing makes.
const maxParcels = 64

// liveTimeout is how long a full parcel waits for its reader before it is taken
// that there is none, as when the manager itself is restarted.
const liveTimeout = time.Second

// An Outgoing puts entries into parcels in the store; where one is full it begins
// another. Any goroutine may call its methods.
type Outgoing struct {
	store   *Store
	first   parcel.Entry // begins every parcel
	spare   int          // entries of the store that are kept free beside the parcels
	lighten func()       // releases the ballast

	mu      sync.Mutex
	live    bool // the parcels have a reader while they are filled
	writer  *parcel.Writer
	names   []string // of all parcels
	used    int      // entries that were put in
	stopped error    // why nothing more is taken
}

// NewOutgoing returns an Outgoing whose first parcel is made when something is put in.
// Each parcel begins with first.
func (st *Store) NewOutgoing(first parcel.Entry) *Outgoing {
	return &Outgoing{store: st, first: first, lighten: func() {}}
}

// OpenOutgoing returns an Outgoing with a parcel, whose read end is with the manager
// before anything is put in. It keeps spare entries of the store free, and room for
// descriptors in flight until Close. live says that a successor may read meanwhile.
func (st *Store) OpenOutgoing(ctx context.Context, first parcel.Entry, spare int, live bool) (*Outgoing, error) {
	b := &Outgoing{store: st, first: first, spare: spare, live: live, lighten: ballast(ctx)}
	if _, err := b.open(ctx); err != nil {
		b.lighten()
		return nil, err
	}
	return b, nil
}

// open makes sure that there is a parcel, and returns its writer.
func (b *Outgoing) open(ctx context.Context) (*parcel.Writer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.writer != nil {
		return b.writer, nil
	}
	if b.stopped != nil {
		return nil, b.stopped
	}
	if len(b.names) == maxParcels {
		return nil, fmt.Errorf("%d parcels are full", maxParcels)
	}
	name := protocol.UniqueName(protocol.ParcelPrefix)
	w, err := b.store.begin(ctx, name, b.spare, parcel.WriterOptions{Live: b.live, Timeout: liveTimeout}, b.first)
	if err != nil {
		return nil, err
	}
	b.writer, b.names = w, append(b.names, name)
	return w, nil
}

// Put has e sent. Where it returns nil it calls done exactly once, when e is in a
// parcel or cannot be; otherwise e was not taken. e.Done is the Outgoing's to set.
func (b *Outgoing) Put(ctx context.Context, e parcel.Entry, done func(error)) error {
	for {
		w, err := b.open(ctx)
		if err != nil {
			return err
		}
		b.mu.Lock()
		b.used++
		b.mu.Unlock()
		e.Done = func(err error) {
			if err != nil && b.failed(ctx, w, err) {
				if err = b.Put(ctx, e, done); err == nil {
					return
				}
			}
			done(err)
		}
		err = w.Put(ctx, e)
		if err == nil || !b.failed(ctx, w, err) {
			return err
		}
	}
}

// Flush sends what was put in. What cannot be sent comes back, by done.
func (b *Outgoing) Flush(ctx context.Context) {
	for {
		b.mu.Lock()
		w := b.writer
		b.mu.Unlock()
		if w == nil {
			return
		}
		err := w.Flush(ctx)
		if err == nil || !b.failed(ctx, w, err) {
			return
		}
	}
}

// failed deals with an error of w, and reports whether another parcel may do
// better. w is not used again where it is full, or reached a limit that holds for
// every parcel, such as that of descriptors in flight: then the Outgoing takes
// nothing more.
func (b *Outgoing) failed(ctx context.Context, w *parcel.Writer, err error) (again bool) {
	limit, limited := errors.AsType[*parcel.LimitError](err)
	full := limited && limit.Limit == parcel.LimitBuffer && w.Sent().Entries > 1
	final := limited && !full || errors.Is(err, parcel.ErrNoReader)
	if !full && !final && !errors.Is(err, parcel.ErrClosed) {
		return false
	}
	b.mu.Lock()
	current := b.writer == w
	if current {
		b.writer = nil
		b.live = false // a live reader would have made room
		if final {
			b.stopped = err
		}
	}
	b.mu.Unlock()
	if current {
		w.Close(ctx) // what it has not sent comes back, by Done
	}
	return full || !current && !final
}

// Close ends the parcels, and removes one that nothing was put in. What could not
// be sent has come back by then.
func (b *Outgoing) Close(ctx context.Context) error {
	defer b.lighten()
	var errs []error
	for {
		b.mu.Lock()
		w := b.writer
		b.writer = nil
		if w == nil && b.stopped == nil {
			b.stopped = report.ErrDraining
		}
		b.mu.Unlock()
		if w == nil {
			break
		}
		if err := w.Close(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if b.used == 0 && !b.live {
		for _, name := range b.names {
			errs = append(errs, b.store.Remove(ctx, name))
		}
	}
	return errors.Join(errs...)
}
