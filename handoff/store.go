package handoff

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// maxServiceName is the longest name that leaves room for a prefix.
const maxServiceName = notify.MaxName - len(protocol.ManifestPrefix)

// storeTimeout bounds one exchange with the manager, while somebody else waits.
const storeTimeout = 10 * time.Second

// endTimeout bounds one at the end, when nobody waits but the manager. systemd reads
// nothing while it reloads itself, for as long as its generators take, to which it
// gives 90 s; and it knows nobody any more who has exited meanwhile.
const endTimeout = 2 * time.Minute

// A store is the manager's fd store, as far as this generation knows it.
type store struct {
	manager *notify.Notifier

	mu   sync.Mutex
	used int  // entries of ours; others' are not known
	kept bool // something came back from it
	shut bool // the manager keeps nothing, though it does not say so
}

// configured reports whether the manager may keep something: before systemd v254
// it does not say.
func (st *store) configured() bool {
	limit, known := st.manager.StoreLimit()
	return st.manager.Managed() && (!known || limit > 0)
}

// available reports whether it has not (yet, see probe) turned out that it does
// not.
func (st *store) available() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.configured() && !st.shut
}

// probe finds out whether the manager keeps anything where it does not say so. It
// takes its time, so it goes on beside the service. Where something of the
// generation before was kept, there is nothing to find out. ErrNotKept is news: it
// is returned where nothing has shown that before.
func (st *store) probe(ctx context.Context) error {
	st.mu.Lock()
	kept := st.kept
	st.mu.Unlock()
	if kept || !st.configured() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
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
	return ErrNotKept
}

// room reports whether n entries more fit in, as far as that is known.
func (st *store) room(n int) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	limit, known := st.manager.StoreLimit()
	return !known || st.used+n <= limit
}

// hold counts n entries that came back; a negative n those that went.
func (st *store) hold(n int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.used += n
	st.kept = st.kept || n > 0
}

// put stores f under name, where beside it there is room for spare entries more.
// The manager does not say whether it has taken it.
func (st *store) put(ctx context.Context, name string, spare int, f syscall.Conn) error {
	st.mu.Lock()
	if st.shut {
		st.mu.Unlock()
		return fmt.Errorf("store %s: %w", name, ErrNotKept)
	}
	limit, known := st.manager.StoreLimit()
	if known && st.used+1+spare > limit {
		used := st.used
		st.mu.Unlock()
		return tooMany(name, limit, used+1+spare, syscall.ENOSPC)
	}
	st.used++
	st.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := st.manager.StoreUnpolled(ctx, name, f)
	if err != nil {
		st.hold(-1)
	}
	return err
}

// remove drops what is stored under name.
func (st *store) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := st.manager.Remove(ctx, name)
	if err == nil {
		st.hold(-1)
	}
	return err
}

// begin makes a parcel whose read end is in the store under name, with first in
// it, and returns its writer.
func (st *store) begin(ctx context.Context, name string, spare int, o parcel.WriterOptions, first parcel.Entry) (*parcel.Writer, error) {
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

// leave puts a parcel of entries into the store under name. All of them are in it
// before the manager can pass it on.
func (st *store) leave(ctx context.Context, name string, spare int, entries ...parcel.Entry) error {
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
// systemd may close it a little later. That there is no store at all probe finds
// out for sure.
//
// It is over with ctx, and without a deadline of that after storeTimeout.
func (st *store) await(ctx context.Context, name string, send func() error) error {
	barrier, cancel := ctx, func() {}
	if _, ok := ctx.Deadline(); !ok {
		barrier, cancel = context.WithTimeout(ctx, storeTimeout)
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
		return fmt.Errorf("store %s: %w: %w", name, ErrNotKept, err)
	}
	return tooMany(name, limit, count, err)
}

// tooMany says that the store has no room for one called name.
func tooMany(name string, limit, count int, err error) error {
	return fmt.Errorf("%w: %w", ErrNotKept,
		&parcel.LimitError{Op: "store " + name, Limit: parcel.LimitStore, Value: int64(limit), Count: int64(count), Err: err})
}
