package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"time"
)

// do notes what the goroutine does from now on, with another deadline for reads.
func (c *client) do(a activity, deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doing = a
	if c.frozen != nil && deadline.IsZero() {
		deadline = past
	}
	c.setReadDeadlineLocked(deadline)
	c.tell()
}

// tell wakes carry. The caller holds mu.
func (c *client) tell() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// begin notes that a call is being answered, and returns the context for it.
func (c *client) begin(ctx context.Context, message []byte) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doing, c.message = answering, message
	c.tell()
	return context.WithValue(ctx, callKey{}, c.call)
}

// end notes that it was answered.
func (c *client) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doing, c.message, c.call, c.final, c.told = waiting, nil, new(Call), false, false
	if c.frozen != nil {
		c.setReadDeadlineLocked(past)
	}
	c.tell()
}

// finish says that no other server can go on with the call.
func (c *client) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.final = true
	c.tell()
}

func (c *client) beginWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.carried {
		frozen := c.frozen
		c.mu.Unlock()
		<-frozen
		c.mu.Lock()
	}
	c.writing = true
	c.setWriteDeadline()
}

// endWrite notes whether that was the last answer: another server must not give it
// once more.
func (c *client) endWrite(answer []byte) {
	var r reply
	last := json.Unmarshal(bytes.TrimRight(answer, "\x00"), &r) != nil || !r.Continues
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	c.told = c.told || last
	c.tell()
}

// park is called when the wait for a message has ended with err. If the client is
// frozen it waits for thaw. It reports whether to go on.
func (c *client) park(err error) bool {
	c.mu.Lock()
	frozen := c.frozen
	if frozen == nil || c.ended {
		defer c.mu.Unlock()
		return !c.ended && errors.Is(err, os.ErrDeadlineExceeded) // it was thawed before it could park
	}
	c.doing = parked
	c.tell()
	c.mu.Unlock()
	<-frozen
	c.do(waiting, time.Time{})
	return true
}

// freeze has the goroutine do nothing more, until thaw, that another server could do
// instead.
func (c *client) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = make(chan struct{})
	if c.doing == waiting {
		c.setReadDeadlineLocked(past)
	}
}

// carry returns a client that is frozen once its goroutine does nothing else. Where ctx
// ends before, or the client cannot be carried, it returns false.
func (c *client) carry(ctx context.Context, pending []uint64) (carried Carried, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ended && !c.final {
		number := c.call.Number()
		open := number == 0 || slices.Contains(pending, number)
		if c.doing == parked || c.doing == answering && !c.writing && !c.told && open {
			c.carried = true
			rest, _ := c.r.Peek(c.r.Buffered()) // its goroutine does not read
			return Carried{Call: c.message, Rest: bytes.Clone(rest), Number: number}, true
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if ctx.Err() != nil {
			break
		}
	}
	return Carried{}, false
}

// thaw lets the goroutine go on.
func (c *client) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.frozen)
	c.frozen, c.carried = nil, false
	if c.doing == waiting || c.doing == parked {
		c.doing = waiting // now, and not when the goroutine notices: freeze may come before
		c.setReadDeadlineLocked(time.Time{})
	}
}
