package parcel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// FlushDelay is how long an entry may wait for others to share a message with
// while a reader is there.
const FlushDelay = time.Millisecond

const (
	defaultSendBuffer  = 8 << 20
	defaultSendTimeout = 10 * time.Second

	// endReserve is the part of the queue that entries may not fill, so that an
	// END record has room behind them.
	endReserve = 16 << 10
)

// WriterOptions say how a parcel is filled. The zero value is for one that
// nobody reads until its writer has gone, as across a restart.
type WriterOptions struct {
	// Live says that a reader empties the parcel while it is being filled, as
	// across a reload. An entry is then sent within FlushDelay of its Put, and a
	// full queue is waited for. Otherwise entries wait for a full message, a Flush
	// or Close, and a full queue is an error.
	Live bool

	// Timeout bounds each wait for a live reader to make room; 0 is 10 s. The end
	// of the context ends the wait too.
	Timeout time.Duration

	// SendBuffer is the size to ask for the queue, in bytes; 0 is 8 MiB. Without
	// CAP_NET_ADMIN it is cut to net.core.wmem_max.
	SendBuffer int

	// MaxPayload is the largest payload that an entry may have, in bytes; 0 is
	// DefaultMaxPayload.
	MaxPayload int64
}

// A Writer fills a parcel. Its methods may be called by several goroutines, and
// all but Close and Abandon by Entry.Done.
type Writer struct {
	o    WriterOptions
	e    *endpoint
	size int // of the queue, as granted

	// closing ends the waits of other calls once Close or Abandon was called.
	closing context.Context
	close   context.CancelFunc

	lock  chan struct{} // holds one token while nobody works on what follows
	batch []Entry       // taken by Put and not sent; they fit into one message
	fill  filling       // what batch takes
	seq   uint64
	sent  Counts
	stuck error // why a live reader's queue stayed full
	timer *time.Timer
	final bool // Close has the lock: its own waits go on
	done  bool // closed

	settling sync.WaitGroup // calls that call Done
}

// A filling is how full a message is.
type filling struct{ descriptors, bytes int }

// New makes a parcel and returns its writer and its read end. Whoever holds the
// read end holds everything that is put in: the caller stores it (with FDPOLL=0,
// sd_notify(3)) or passes it on, and closes it. It is in blocking mode.
//
// Elsewhere than on Linux the error is errors.ErrUnsupported.
func New(o WriterOptions) (*Writer, *os.File, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultSendTimeout
	}
	if o.SendBuffer == 0 {
		o.SendBuffer = defaultSendBuffer
	}
	o.MaxPayload = payloadLimit(o.MaxPayload)
	e, readEnd, err := newPair()
	if err != nil {
		return nil, nil, fmt.Errorf("parcel: new: %w", err)
	}
	w := &Writer{o: o, e: e, lock: make(chan struct{}, 1)}
	w.lock <- struct{}{}
	w.closing, w.close = context.WithCancel(context.Background())
	if err := w.sizeQueue(); err != nil {
		w.Abandon()
		readEnd.Close()
		return nil, nil, fmt.Errorf("parcel: new: %w", err)
	}
	return w, readEnd, nil
}

// sizeQueue raises the queue to what is wanted and allowed, and withholds the
// END record's part of it.
func (w *Writer) sizeQueue() (err error) {
	cerr := w.e.rc.Control(func(fd uintptr) {
		if w.size, err = raiseSendBuffer(int(fd), w.o.SendBuffer); err == nil {
			_, err = raiseSendBuffer(int(fd), w.size-min(endReserve, w.size/2))
		}
	})
	return errors.Join(cerr, err)
}

// Put takes e, to be sent with the entries before and after it, and returns
// before it is sent. Where e does not fit into their message, they are sent
// first, which may block: see WriterOptions.Live. When Put returns an error e
// was not taken, and Done is not called for it; the entries before it stay as
// they are, as after a failed Flush.
func (w *Writer) Put(ctx context.Context, e Entry) error {
	if err := e.check(w.o.MaxPayload); err != nil {
		return fmt.Errorf("parcel: put: %w", err)
	}
	if err := w.acquire(ctx); err != nil {
		return fmt.Errorf("parcel: put: %s %q: %w", e.Kind, e.Name, err)
	}
	done, err := w.put(ctx, e)
	w.settle(done)
	if err != nil {
		return fmt.Errorf("parcel: put: %s %q: %w", e.Kind, e.Name, err)
	}
	return nil
}

func (w *Writer) put(ctx context.Context, e Entry) (done []Entry, err error) {
	if w.stuck != nil {
		return nil, w.stuck
	}
	next, fits := w.fill.with(&e)
	if !fits {
		if done, err = w.flush(ctx); err != nil {
			return done, err
		}
		next, _ = w.fill.with(&e)
	}
	w.batch, w.fill = append(w.batch, e), next
	if w.o.Live && len(w.batch) == 1 {
		w.arm()
	}
	return done, nil
}

// arm sees to it that the batch is sent in time.
func (w *Writer) arm() {
	if w.timer == nil {
		w.timer = time.AfterFunc(FlushDelay, w.flushLate)
	} else {
		w.timer.Reset(FlushDelay)
	}
}

// with returns the filling with e added, and whether that still is one message.
func (f filling) with(e *Entry) (filling, bool) {
	next := filling{f.descriptors + len(e.Descriptors), f.bytes + e.bodySize()}
	fits := f.bytes == 0 || next.descriptors <= MaxDescriptors && next.bytes <= maxSharedBody
	return next, fits
}

// flushLate is the timer's: what is not sent by now is sent.
func (w *Writer) flushLate() {
	if w.acquire(context.Background()) != nil {
		return // closed; Close flushes
	}
	done, _ := w.flush(context.Background()) // a failure makes the writer stuck
	w.settle(done)
}

// Flush sends what Put has taken. When it returns an error, what was not sent
// stays, to be tried again by the next Flush or to be given back by Close. A
// *LimitError says that a limit was reached; ErrNoReader is final.
func (w *Writer) Flush(ctx context.Context) error {
	if err := w.acquire(ctx); err != nil {
		return fmt.Errorf("parcel: flush: %w", err)
	}
	done, err := w.flush(ctx)
	w.settle(done)
	if err != nil {
		return fmt.Errorf("parcel: flush: %w", err)
	}
	return nil
}

// Close sends what Put has taken, then the END record, and closes the write
// end; it does that also when something fails on the way. What could not be
// sent goes back to the caller, by Done with the error that Close returns too;
// the END record counts only what was sent. Waits of other calls end with
// ErrClosed. When Close returns every Done has returned.
func (w *Writer) Close(ctx context.Context) error {
	w.close()
	<-w.lock
	if w.done {
		w.release()
		return fmt.Errorf("parcel: close: %w", ErrClosed)
	}
	w.final = true
	done, err := w.flush(ctx)
	if err != nil {
		err = fmt.Errorf("%d entries were not sent: %w", len(w.batch), err)
	}
	if !errors.Is(err, ErrNoReader) {
		err = errors.Join(err, w.end(ctx))
	}
	if err != nil {
		err = fmt.Errorf("parcel: close: %w", err)
	}
	unsent := w.shut()
	w.settle(done)
	giveBack(unsent, err)
	w.settling.Wait()
	return err
}

// Abandon closes the write end without an END record: the reader gets what was
// sent, and then ErrTruncated. What was not sent goes back by Done, with
// ErrClosed. After Close it does nothing.
func (w *Writer) Abandon() {
	w.close()
	<-w.lock
	unsent := w.shut()
	w.release()
	giveBack(unsent, fmt.Errorf("parcel: abandoned: %w", ErrClosed))
	w.settling.Wait()
}

// Sent returns what has been sent: what is in the parcel, or was.
func (w *Writer) Sent() Counts {
	<-w.lock
	defer w.release()
	return w.sent
}

// acquire takes the writer's lock, and fails once it is closed.
func (w *Writer) acquire(ctx context.Context) error {
	select {
	case <-w.lock: // mostly, and much faster than below
	default:
		select {
		case <-w.lock:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.closing.Done():
			return ErrClosed
		}
	}
	if w.closing.Err() != nil {
		w.release()
		return ErrClosed
	}
	return nil
}

func (w *Writer) release() { w.lock <- struct{}{} }

// shut closes the write end and returns what was not sent.
func (w *Writer) shut() (unsent []Entry) {
	if w.timer != nil {
		w.timer.Stop()
	}
	if !w.done {
		w.done = true
		w.e.f.Close()
	}
	unsent, w.batch, w.fill = w.batch, nil, filling{}
	return unsent
}

// settle gives the lock up and tells entries that they were sent.
func (w *Writer) settle(sent []Entry) {
	w.settling.Add(1)
	defer w.settling.Done()
	w.release()
	giveBack(sent, nil)
}

// giveBack gives entries back to who put them.
func giveBack(entries []Entry, err error) {
	for i := range entries {
		entries[i].done(err)
	}
}

// payloadLimit returns the limit that an option of limit means.
func payloadLimit(limit int64) int64 {
	if limit <= 0 {
		return DefaultMaxPayload
	}
	return min(limit, 1<<40)
}
