package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

// A dispatcher accepts connections and gives them to its workers. It is what the
// handoff.Service runs: a reload of the service is a new dispatcher with new workers,
// beside the old ones.
type dispatcher struct {
	ln     net.Listener
	pool   *pool
	shared *os.File // of ln, for workers that accept by themselves; else nil
	log    *slog.Logger
	ctx    context.Context // ends when nothing more is to be accepted
	stop   context.CancelFunc
	served chan struct{} // closed when Serve has returned
}

var _ handoff.Server = (*dispatcher)(nil)

// newDispatcher returns a dispatcher that owns ln and shared.
func newDispatcher(ln net.Listener, shared *os.File, p *pool, log *slog.Logger) *dispatcher {
	d := &dispatcher{ln: ln, shared: shared, pool: p, log: log, served: make(chan struct{})}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// errStopped is what Serve returns after Shutdown.
var errStopped = errors.New("the dispatcher was told to stop")

// retryAfter is the time after which accept is tried again where the system has
// run out of something.
const retryAfter = 100 * time.Millisecond

// Serve accepts connections until Shutdown: one when a worker is idle, and so the
// others wait in the listen queue, where a dispatcher that comes after this one
// finds them.
func (d *dispatcher) Serve(ln net.Listener) error {
	defer close(d.served)
	if d.shared != nil {
		<-d.ctx.Done()
		return errStopped
	}
	for {
		if err := d.pool.await(d.ctx, d.pool.hasIdle); err != nil {
			return errStopped
		}
		c, err := ln.Accept()
		switch {
		case err == nil:
			d.pool.hand(c.(connection)) // as those of all listeners of a Service are
		case d.ctx.Err() != nil:
			return errStopped
		case isShortage(err):
			d.log.Warn("accept failed", "error", err, "again", retryAfter)
			select {
			case <-time.After(retryAfter):
			case <-d.ctx.Done():
			}
		default:
			return err
		}
	}
}

// isShortage reports whether err, of accept(2), may be over in a moment.
func isShortage(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Shutdown accepts nothing more, and returns when all connections have been answered
// and the workers have ended. It cuts what has not come that far when ctx ends.
func (d *dispatcher) Shutdown(ctx context.Context) error {
	d.stop()
	d.ln.Close()
	d.shared.Close() // or clients would wait in a queue that nobody serves any more
	select {
	case <-d.served:
	case <-ctx.Done():
	}
	return d.pool.close(ctx)
}
