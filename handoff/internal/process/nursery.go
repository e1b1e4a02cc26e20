package process

import (
	"context"
	"sync"
)

// A nursery counts the children that are being made. Any goroutine may use it.
type nursery struct {
	mu      sync.Mutex
	making  int
	halted  bool
	changed chan struct{} // closed when one of these has changed; nil: nobody waits
}

// enter is called before a child is made, and leave when it was made, or it failed and
// was waited for. enter waits while that is halted.
func (n *nursery) enter(ctx context.Context) error {
	return n.await(ctx, func() bool { return !n.halted }, func() { n.making++ })
}

func (n *nursery) leave() { n.change(func() { n.making-- }) }

// halt returns when no child is being made, and none will be before resume.
func (n *nursery) halt(ctx context.Context) error {
	return n.await(ctx, func() bool { return !n.halted && n.making == 0 }, func() { n.halted = true })
}

func (n *nursery) resume() { n.change(func() { n.halted = false }) }

// quietly calls f, which must not take long, where no child is being made, and reports
// whether it did. None is made meanwhile.
func (n *nursery) quietly(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.making > 0 || n.halted {
		return false
	}
	f()
	return true
}

// await waits for may, and then calls then.
func (n *nursery) await(ctx context.Context, may func() bool, then func()) error {
	for {
		n.mu.Lock()
		if may() {
			then()
			n.mu.Unlock()
			return nil
		}
		if n.changed == nil {
			n.changed = make(chan struct{})
		}
		changed := n.changed
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// change calls f, and wakes those who wait.
func (n *nursery) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}
