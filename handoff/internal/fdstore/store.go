package fdstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// ExchangeTimeout bounds one exchange with the manager, while somebody else waits.
const ExchangeTimeout = 10 * time.Second

// EndTimeout bounds one at the end, when nobody waits but the manager. systemd reads
// nothing while it reloads itself, for as long as its generators take, to which it
// gives 90 s; and it knows nobody any more who has exited meanwhile.
const EndTimeout = 2 * time.Minute

// A Store is the manager's fd store, as far as this generation knows it. Any goroutine
// may call its methods, but for those of pending changes.
type Store struct {
	manager  *notify.Notifier
	report   *report.Reporter
	pending  changes
	manifest manifest

	mu   sync.Mutex
	used int  // entries of ours; others' are not known
	kept bool // something came back from it
	shut bool // the manager keeps nothing, though it does not say so
}

// New returns the store of a manager; nil: there is none.
func New(manager *notify.Notifier, r *report.Reporter) *Store {
	return &Store{manager: manager, report: r}
}

// Configured reports whether the manager may keep something: before systemd v254
// it does not say.
func (st *Store) Configured() bool {
	limit, known := st.manager.StoreLimit()
	return st.manager.Managed() && (!known || limit > 0)
}

// Available reports whether it has not (yet, see Probe) turned out that it does
// not.
func (st *Store) Available() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.Configured() && !st.shut
}

// Probe finds out whether the manager keeps anything where it does not say so. It
// takes its time, so it goes on beside the service. Where something of the
// generation before was kept, there is nothing to find out. report.ErrNotKept is news: it
// is returned where nothing has shown that before.
func (st *Store) Probe(ctx context.Context) error {
	st.mu.Lock()
	kept := st.kept
	st.mu.Unlock()
	if kept || !st.Configured() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ExchangeTimeout)
	defer cancel()
	keeps, err := st.manager.Keeps(ctx)
	if keeps || err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.shut {
		return nil
	}
	st.shut = true
	return report.ErrNotKept
}

// room reports whether n entries more fit in, as far as that is known.
func (st *Store) room(n int) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	limit, known := st.manager.StoreLimit()
	return !known || st.used+n <= limit
}

// Hold counts n entries that came back; a negative n those that went away.
func (st *Store) Hold(n int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.used += n
	st.kept = st.kept || n > 0
}

// put stores f under name, where beside it there is room for spare entries more.
// The manager does not say whether it has taken it.
func (st *Store) put(ctx context.Context, name string, spare int, f syscall.Conn) error {
	st.mu.Lock()
	if st.shut {
		st.mu.Unlock()
		return fmt.Errorf("store %s: %w", name, report.ErrNotKept)
	}
	limit, known := st.manager.StoreLimit()
	if known && st.used+1+spare > limit {
		used := st.used
		st.mu.Unlock()
		return tooMany(name, limit, used+1+spare, syscall.ENOSPC)
	}
	st.used++
	st.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, ExchangeTimeout)
	defer cancel()
	err := st.manager.StoreUnpolled(ctx, name, f)
	if err != nil {
		st.Hold(-1)
	}
	return err
}

// Remove drops what is stored under name.
func (st *Store) Remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, ExchangeTimeout)
	defer cancel()
	err := st.manager.Remove(ctx, name)
	if err == nil {
		st.Hold(-1)
	}
	return err
}

// begin makes a parcel whose read end is in the store under name, with first in
// it, and returns its writer.
func (st *Store) begin(ctx context.Context, name string, spare int, o parcel.WriterOptions, first parcel.Entry) (*parcel.Writer, error) {
	w, readEnd, err := parcel.New(o)
	if err != nil {
		return nil, err
	}
	err = st.put(ctx, name, spare, readEnd)
	readEnd.Close()
	if err == nil {
		err = st.await(ctx, name, func() error { return errors.Join(w.Put(ctx, first), w.Flush(ctx)) })
	}
	if err != nil {
		w.Abandon()
		return nil, err
	}
	return w, nil
}

// Leave puts a parcel of entries into the store under name. All of them are in it
// before the manager can pass it on.
func (st *Store) Leave(ctx context.Context, name string, spare int, entries ...parcel.Entry) error {
	w, readEnd, err := parcel.New(parcel.WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Abandon()
	for _, e := range entries {
		err = errors.Join(err, w.Put(ctx, e))
	}
	if err = errors.Join(err, w.Flush(ctx)); err == nil {
		err = st.put(ctx, name, spare, readEnd)
	}
	readEnd.Close()
	if err != nil {
		return err
	}
	return st.await(ctx, name, func() error { return w.Close(ctx) })
}

// await waits until the manager has dealt with the parcel stored under name, and
// then has send put something into it. The manager does not say when it has no
// room and closes what it is given, but then send finds no reader: mostly, since
// systemd may close it a little later. That there is no store at all Probe finds
// out for sure.
//
// It is over with ctx, and without a deadline of that after ExchangeTimeout.
func (st *Store) await(ctx context.Context, name string, send func() error) error {
	barrier, cancel := ctx, func() {}
	if _, ok := ctx.Deadline(); !ok {
		barrier, cancel = context.WithTimeout(ctx, ExchangeTimeout)
	}
	defer cancel()
	err := st.manager.Barrier(barrier)
	if err == nil {
		err = send()
	}
	if !errors.Is(err, parcel.ErrNoReader) {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	limit, known := st.manager.StoreLimit()
	count := st.used
	st.used--
	st.shut = !known
	if !known {
		return fmt.Errorf("store %s: %w: %w", name, report.ErrNotKept, err)
	}
	return tooMany(name, limit, count, err)
}

// tooMany says that the store has no room for one called name.
func tooMany(name string, limit, count int, err error) error {
	return fmt.Errorf("%w: %w", report.ErrNotKept,
		&parcel.LimitError{Op: "store " + name, Limit: parcel.LimitStore, Value: int64(limit), Count: int64(count), Err: err})
}

// removeAll drops what is stored under names, and reports what fails.
func (st *Store) removeAll(ctx context.Context, names []string) {
	for _, name := range names {
		st.report.Report(st.Remove(ctx, name))
	}
}
