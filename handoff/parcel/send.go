package parcel

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// flush sends the batch as one message and returns the entries that are done
// with. An entry whose descriptor was closed under the writer's hands must not
// keep the others back: it is dropped, with that for its verdict.
//
// The caller holds the lock, and gives it up before it settles what is returned.
func (w *Writer) flush(ctx context.Context) (done []Entry, err error) {
	for len(w.batch) > 0 {
		bad, err := w.sendBatch(ctx)
		if bad >= 0 {
			done = append(done, w.drop(bad, err))
			continue
		}
		if err != nil {
			if w.o.Live && ctx.Err() == nil {
				w.stuck = err // or every further Put would wait as long again
			}
			return done, err
		}
		if len(done) == 0 {
			done = w.batch
		} else {
			done = append(done, w.batch...)
		}
		w.batch, w.fill = make([]Entry, 0, len(w.batch)), filling{} // the next is like it
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.stuck = nil
	return done, nil
}

// drop takes entry i out of the batch and makes err its verdict.
func (w *Writer) drop(i int, err error) Entry {
	e := w.batch[i]
	if done := e.Done; done != nil {
		err = fmt.Errorf("parcel: send: %s %q: %w", e.Kind, e.Name, err)
		e.Done = func(error) { done(err) }
	}
	w.batch = append(w.batch[:i:i], w.batch[i+1:]...)
	w.fill = filling{}
	for i := range w.batch {
		w.fill, _ = w.fill.with(&w.batch[i])
	}
	return e
}

// sendBatch sends the batch. Where an entry of it can never be sent, bad is that
// entry; otherwise it is -1.
func (w *Writer) sendBatch(ctx context.Context) (bad int, err error) {
	conns, bad, err := w.descriptors()
	if err != nil {
		return bad, err
	}
	body, size, counts := w.encode()
	h := header{
		Type:        typeData,
		Descriptors: len(conns),
		Entries:     len(w.batch),
		BodyLen:     int64(size),
		Seq:         w.seq + 1,
		Before:      w.sent,
	}
	memfd, err := w.spill(body, size)
	if err != nil {
		return -1, err
	}
	if memfd != nil {
		defer closeAll(memfd)
		h.Memfd = true
		h.Descriptors++
		body, size = nil, 0
	}
	m := appendHeader(make([]byte, 0, headerSize+size), h)
	for _, part := range body {
		m = append(m, part...)
	}
	i, err := w.transmit(ctx, m, memfd, conns)
	if err != nil {
		return w.owner(i), err
	}
	w.seq++
	w.sent = w.sent.plus(counts)
	return -1, nil
}

// spill puts the batch's body into a memfd, if it should be in one.
func (w *Writer) spill(body [][]byte, size int) (memfd []int, err error) {
	secret := w.secret()
	if size <= maxInline && !secret {
		return nil, nil
	}
	fd, err := newMemfd(body)
	var limit *LimitError
	switch {
	case err == nil:
		return []int{fd}, nil
	case errors.As(err, &limit) && !secret && headerSize+size <= maxMessage:
		return nil, nil // a process with no descriptor to spare can still hand over
	}
	return nil, err
}

// encode returns the batch's body in parts, so that large payloads need not be
// copied.
func (w *Writer) encode() (body [][]byte, size int, counts Counts) {
	b := make([]byte, 0, min(w.fill.bytes, maxSharedBody))
	from := 0
	for i := range w.batch {
		e := &w.batch[i]
		b = appendEntryHead(b, e)
		if len(e.Payload) > maxInline {
			body = append(body, b[from:], e.Payload)
			from = len(b)
		} else {
			b = append(b, e.Payload...)
		}
		counts = counts.plus(Counts{Entries: 1, Descriptors: int64(len(e.Descriptors)), Bytes: int64(len(e.Payload))})
	}
	return append(body, b[from:]), w.fill.bytes, counts
}

func (w *Writer) secret() bool {
	for i := range w.batch {
		if w.batch[i].Secret {
			return true
		}
	}
	return false
}

// descriptors returns access to the descriptors of the batch. Where one has
// none any more, bad is its entry.
func (w *Writer) descriptors() (conns []syscall.RawConn, bad int, err error) {
	conns = make([]syscall.RawConn, 0, w.fill.descriptors)
	for i := range w.batch {
		for j, d := range w.batch[i].Descriptors {
			rc, err := d.SyscallConn()
			if err != nil {
				return nil, i, fmt.Errorf("descriptor %d: %w", j, err)
			}
			conns = append(conns, rc)
		}
	}
	return conns, -1, nil
}

// owner returns the entry of the batch that has its descriptor i.
func (w *Writer) owner(i int) int {
	if i < 0 {
		return -1
	}
	for e := range w.batch {
		if i -= len(w.batch[e].Descriptors); i < 0 {
			return e
		}
	}
	return -1
}

// transmit sends message m with fds, and the descriptors of conns behind them;
// with a live reader it waits for room. Where a descriptor of conns cannot be
// had, bad is its index.
func (w *Writer) transmit(ctx context.Context, m []byte, fds []int, conns []syscall.RawConn) (bad int, err error) {
	attempt := func(fd int) error {
		var sent error
		// Nothing is duplicated: a process at its limit of descriptors can still
		// hand over what it has.
		if bad, err = hold(conns, fds, func(all []int) { sent = sendMessage(fd, m, all) }); err != nil {
			return err
		}
		return sent
	}
	err = w.e.write(ctx, false, attempt)
	if err == nil || bad >= 0 {
		return bad, err
	}
	if w.o.Live && (wouldBlock(err) || tooManyInFlight(err)) {
		err = w.await(ctx, attempt)
	}
	if err == nil || bad >= 0 {
		return bad, err
	}
	op := fmt.Sprintf("send message %d with %d descriptors", w.seq+1, len(fds)+len(conns))
	if cerr := w.e.rc.Control(func(fd uintptr) { err = sendLimit(int(fd), op, w.sent, err) }); cerr != nil {
		err = cerr
	}
	var limit *LimitError
	if errors.As(err, &limit) && limit.Limit == LimitBuffer {
		limit.Value = int64(w.size) // with what is kept for the END record
	}
	return -1, err
}

// await repeats attempt until the reader has made room.
func (w *Writer) await(ctx context.Context, attempt func(fd int) error) error {
	wait, cancel := context.WithTimeout(ctx, w.o.Timeout)
	defer cancel()
	if !w.final {
		defer context.AfterFunc(w.closing, cancel)()
	}
	var full error
	noted := func(fd int) error {
		err := attempt(fd)
		if wouldBlock(err) || tooManyInFlight(err) {
			full = err
		}
		return err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := w.e.write(wait, true, noted)
		if tooManyInFlight(err) {
			// Nothing tells when descriptors in flight have landed.
			select {
			case <-wait.Done():
			case <-time.After(pause):
				continue
			}
		}
		switch {
		case wait.Err() == nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !w.final && w.closing.Err() != nil:
			return ErrClosed
		}
		return full
	}
}

// end writes the END record, into the part of the queue that was kept for it.
func (w *Writer) end(ctx context.Context) error {
	var err error
	cerr := w.e.rc.Control(func(fd uintptr) { _, err = raiseSendBuffer(int(fd), w.size) })
	if err := errors.Join(cerr, err); err != nil {
		return err
	}
	m := appendHeader(nil, header{Type: typeEnd, Seq: w.seq + 1, Before: w.sent})
	_, err = w.transmit(ctx, m, nil, nil)
	return err
}

// hold calls do with fds and the descriptors of conns behind them, which cannot
// be closed meanwhile. Where a descriptor of conns cannot be had, do is not
// called, and bad is its index; otherwise it is -1.
func hold(conns []syscall.RawConn, fds []int, do func([]int)) (bad int, err error) {
	if len(conns) == 0 {
		do(fds)
		return -1, nil
	}
	reached := false
	cerr := conns[0].Control(func(fd uintptr) {
		reached = true
		if bad, err = hold(conns[1:], append(fds, int(fd)), do); bad >= 0 {
			bad++
		}
	})
	if !reached {
		return 0, cerr
	}
	return bad, err
}
