package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// ProbeName is the name under which Keeps stores something for a moment. A
// process that was killed meanwhile leaves it to its successor, to whom it is of no
// use.
const ProbeName = "notify.probe"

// settleTime is how long the manager may take to close what it does not keep. It
// has that done by a thread or a process of its own, for which neither it nor a
// barrier waits: up to 45 ms with all CPUs busy, in 400 runs of TestKeepsUnderSystemd.
const settleTime = 500 * time.Millisecond

// Keeps reports whether the manager keeps what it is given by Store: whether the
// service has FileDescriptorStoreMax= (systemd.service(5)), and room is left. Where
// StoreLimit knows that, it returns at once. Before systemd v254, and where there
// is no store at all, only what becomes of a descriptor tells: Keeps stores the end
// of a pipe, and waits for half a second whether it is closed, so a server asks
// beside its work. What it stored is removed again.
//
// The end of ctx, and Close, end it with an error.
func (n *Notifier) Keeps(ctx context.Context) (bool, error) {
	if limit, known := n.StoreLimit(); known || n == nil {
		return limit > 0, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return false, fmt.Errorf("notify: probe the store: %w", err)
	}
	defer r.Close()
	err = n.StoreUnpolled(ctx, ProbeName, w)
	w.Close()
	if err == nil {
		// It goes also where ctx has ended: nobody else would remove it.
		defer n.Remove(context.WithoutCancel(ctx), ProbeName)
		err = n.Barrier(ctx)
	}
	if err != nil {
		return false, err
	}
	settled, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	waiting, cancel := n.bounded(settled)
	defer cancel()
	switch err := waitClosed(waiting, r); {
	case err == nil:
		return false, nil
	case ctx.Err() == nil && errors.Is(settled.Err(), context.DeadlineExceeded):
		return true, nil
	default:
		return false, n.ended(fmt.Errorf("notify: probe the store: %w", err))
	}
}
