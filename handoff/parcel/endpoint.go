package parcel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// An endpoint is one end of a SOCK_SEQPACKET pair, in the runtime's poller.
type endpoint struct {
	f  *os.File
	rc syscall.RawConn
}

// newEndpoint takes f, which must be nonblocking.
func newEndpoint(f *os.File) (*endpoint, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &endpoint{f: f, rc: rc}, nil
}

// dupEndpoint works on a copy of f, which stays the caller's.
func dupEndpoint(f *os.File) (*endpoint, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var dup *os.File
	cerr := rc.Control(func(fd uintptr) { dup, err = dupSocket(int(fd)) })
	if err := errors.Join(cerr, err); err != nil {
		return nil, err
	}
	return newEndpoint(dup)
}

// inheritEndpoint takes descriptor fd, which the process was started with.
func inheritEndpoint(fd int) (*endpoint, error) {
	f, err := adoptSocket(fd)
	if err != nil {
		return nil, err
	}
	return newEndpoint(f)
}

// close ends the waits of others with ErrClosed.
func (e *endpoint) close() error {
	if e.f.Close() != nil {
		return fmt.Errorf("parcel: close: %w", ErrClosed)
	}
	return nil
}

var longAgo = time.Unix(1, 0)

// interrupt makes the end of ctx end the I/O that set's deadline governs. The
// caller calls the result when the I/O is over.
func interrupt(ctx context.Context, set func(time.Time) error) (over func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		set(longAgo)
		close(fired)
	})
	return func() {
		if !stop() {
			<-fired
			set(time.Time{})
		}
	}
}

// waitError says why I/O that a RawConn ended with err did so. Package os does
// not export the error of one that was closed, and there is no third.
func waitError(ctx context.Context, err error) error {
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// write calls attempt with the descriptor. Where attempt finds the queue full,
// write waits for room until ctx ends and calls it again, if wait says so.
func (e *endpoint) write(ctx context.Context, wait bool, attempt func(fd int) error) error {
	if wait {
		defer interrupt(ctx, e.f.SetWriteDeadline)()
	}
	var sent error
	err := e.rc.Write(func(fd uintptr) bool {
		sent = attempt(int(fd))
		return !wait || !wouldBlock(sent)
	})
	if err != nil {
		return waitError(ctx, err)
	}
	return sent
}

// receive waits for a message and hands it to check with working copies of its
// descriptors. If check returns nil the message is taken out of the queue, and
// the descriptors are the caller's. In every other case it stays where it is,
// and the copies are closed: a message that cannot be received whole, or is not
// understood, is not lost.
func (e *endpoint) receive(ctx context.Context, buf []byte, check func(m []byte, fds []int) error) ([]int, error) {
	over := interrupt(ctx, e.f.SetReadDeadline)
	defer over()
	var (
		fds   []int
		taken error
	)
	err := e.rc.Read(func(fd uintptr) bool {
		fds, taken = take(int(fd), buf, check)
		return !wouldBlock(taken)
	})
	if err != nil {
		return nil, waitError(ctx, err)
	}
	return fds, taken
}

func take(fd int, buf []byte, check func(m []byte, fds []int) error) ([]int, error) {
	// A reader that crashed in the middle of a Peek leaves its offset behind: it
	// belongs to the socket.
	if err := setPeekOffset(fd, -1); err != nil {
		return nil, err
	}
	m, err := peekMessage(fd, buf, maxDescriptors)
	if err == nil {
		err = m.problem()
	}
	if err == nil {
		err = check(m.data, m.fds)
	}
	if err == nil {
		err = m.cut()
	}
	if err == nil {
		err = consume(fd, m.data)
	}
	if err != nil {
		closeAll(m.fds)
		return nil, err
	}
	return m.fds, nil
}

// consume takes the message that was peeked at as m out of the queue.
func consume(fd int, m []byte) error {
	var begin [headerSize]byte
	n, err := dropMessage(fd, begin[:])
	if err != nil {
		return fmt.Errorf("take the message out of the queue: %w", err)
	}
	if !bytes.HasPrefix(m, begin[:n]) {
		return fmt.Errorf("%w: another process reads the same parcel", ErrTaken)
	}
	return nil
}

// A message as it was peeked at.
type message struct {
	data     []byte
	fds      []int
	long     bool // it is longer than the buffer
	withheld bool // MSG_CTRUNC: descriptors are missing
}

// problem tells why m cannot be taken, io.EOF if it is none because the other
// side has gone.
func (m message) problem() error {
	switch {
	case m.withheld:
		return fileLimit(fmt.Sprintf("receive: %d descriptors of a message fit, and nothing was taken out of the queue", len(m.fds)))
	case len(m.data) == 0 && len(m.fds) > 0:
		return fmt.Errorf("%w: an empty message with %d descriptors", ErrFormat, len(m.fds))
	case len(m.data) == 0:
		return io.EOF
	}
	return nil
}

// cut tells whether the message was longer than the buffer. It is asked after
// the message was looked at, which may have found a clearer reason to refuse it.
func (m message) cut() error {
	if m.long {
		return fmt.Errorf("%w: a message of more than %d bytes", ErrFormat, len(m.data))
	}
	return nil
}
