package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Barrier returns once the manager has processed every message sent before it:
// a process that calls it may exit without one of them being lost for want of a
// sender that the manager can still look up. It proves that they were processed,
// not that they were accepted, and that they left the queue where the manager
// itself goes away meanwhile. It ends with ctx, see ErrBlocked. systemd answers
// from v246 on; before, it returns at once.
func (n *Notifier) Barrier(ctx context.Context) error {
	if n == nil {
		return nil
	}
	ctx, cancel := n.bounded(ctx)
	defer cancel()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("notify: barrier: %w", err)
	}
	defer r.Close()
	err = n.SendFiles(ctx, []syscall.Conn{w}, Field{"BARRIER", "1"})
	w.Close() // from here on the manager holds the only one
	if err != nil {
		return fmt.Errorf("notify: barrier: %w", err)
	}
	if err := waitClosed(ctx, r); err != nil {
		return n.ended(fmt.Errorf("notify: barrier: %w", err))
	}
	return nil
}

// waitClosed waits until no other end of the pipe is open.
func waitClosed(ctx context.Context, r *os.File) error {
	defer wakeAtEnd(ctx, r.SetReadDeadline)()
	var b [1]byte
	switch n, err := r.Read(b[:]); {
	case err == io.EOF:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrBlocked, ctx.Err())
	case err != nil:
		return err
	default:
		return fmt.Errorf("%w: the manager wrote %d bytes into a pipe that it was to close", ErrInvalid, n)
	}
}
