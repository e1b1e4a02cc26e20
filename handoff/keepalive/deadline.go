package keepalive

import (
	"sync/atomic"
	"time"
)

// past is a deadline that wakes a Read.
var past = time.Unix(1, 0)

// lastLook is how long an idle connection is read once more after its time is
// up: a deadline that has passed hides what has arrived with it.
const lastLook = time.Millisecond

// A deadline is a time that can be set and read by several goroutines. The zero
// value is none.
type deadline struct{ ns atomic.Int64 }

// epoch has a monotonic reading, so that deadlines survive a change of the clock.
var epoch = time.Now()

func (d *deadline) set(t time.Time) {
	var ns int64
	if !t.IsZero() {
		if ns = int64(t.Sub(epoch)); ns == 0 {
			ns = 1
		}
	}
	d.ns.Store(ns)
}

func (d *deadline) get() time.Time {
	ns := d.ns.Load()
	if ns == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(ns))
}

// SetReadDeadline is called several times in a request, and takes the mutex only
// where Drain or an adoption has a say.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.t.drain.Load() == nil && c.adoption.Load() == nil {
		c.deadline.set(t)
		err := c.Conn.SetReadDeadline(t)
		if c.t.drain.Load() == nil {
			return err
		}
		// Drain has begun meanwhile, and may have set a deadline in between.
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.adoption.Load(); a != nil {
		if a.waiting {
			return nil
		}
		if c.phase == phaseFraming && !t.IsZero() {
			t = t.Add(a.late)
		}
	}
	c.deadline.set(t)
	switch {
	case c.taken.Load():
		return nil
	case c.nudged:
		return c.Conn.SetReadDeadline(past) // the wake-up stands; arm sets t
	}
	c.armed = time.Time{}
	return c.Conn.SetReadDeadline(t)
}

// arm sees to it that a quiet connection that is to be closed is read until the
// end of its grace, and any other one until net/http's deadline.
func (c *conn) arm(d *drain) {
	if d == nil {
		return
	}
	var t time.Time
	if c.quiet() {
		if c.until.IsZero() {
			c.until = time.Now().Add(d.grace)
			c.looked = false
		}
		if own := c.deadline.get(); own.IsZero() || c.until.Before(own) {
			t = c.until
		}
	}
	if t.Equal(c.armed) {
		return
	}
	if c.armed = t; t.IsZero() {
		t = c.deadline.get()
	}
	c.Conn.SetReadDeadline(t)
}

// lookAgain reports whether the time of a quiet connection has just run out, and
// it was not yet read once more.
func (c *conn) lookAgain() bool {
	if c.looked || c.until.IsZero() || !c.armed.Equal(c.until) {
		return false
	}
	c.looked = true
	c.until = time.Now().Add(lastLook)
	return true
}

// nudge makes a Read that waits for a request look around once more.
func (c *conn) nudge(d *drain) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading && (c.carriable(d) || c.quiet()) {
		c.nudged = true
		c.armed = past
		c.Conn.SetReadDeadline(past)
	}
}
