package notify

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// fakeConn takes messages in place of a manager, and notes when.
type fakeConn struct {
	mu   sync.Mutex
	full chan struct{} // not nil: closed once there is room
	err  error         // every send fails with it
	sent []sentMessage

	began time.Time
}

type sentMessage struct {
	text string
	at   time.Duration // since the fake was made
}

// newFake returns a Notifier on a fake manager, as Open would set it up.
func newFake(watchdog watchdog) (*Notifier, *fakeConn) {
	c := &fakeConn{began: time.Now()}
	n := newNotifier(c, DefaultTimeout)
	n.watchdog = watchdog
	return n, c
}

func (c *fakeConn) send(ctx context.Context, wait bool, payload []byte, _ []int) error {
	c.mu.Lock()
	full, err := c.full, c.err
	c.mu.Unlock()
	if full != nil {
		select {
		case <-full:
		default:
			if !wait {
				return errFull
			}
			select {
			case <-full:
			case <-ctx.Done():
				return fmt.Errorf("%w: %w", ErrBlocked, ctx.Err())
			}
		}
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, sentMessage{string(payload), time.Since(c.began)})
	return nil
}

func (c *fakeConn) Close() error { return nil }

func (c *fakeConn) set(full chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full, c.err = full, err
}

// texts returns the messages so far.
func (c *fakeConn) texts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for _, m := range c.sent {
		list = append(list, m.text)
	}
	return list
}
