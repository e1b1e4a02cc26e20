package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// statusInterval is the least time between two STATUS messages that were
// coalesced. Each one makes systemd signal the unit's change to every D-Bus
// client, and a flood of them keeps PID 1 from its work.
const statusInterval = 100 * time.Millisecond

// status is the latest text that has not been sent. The timer runs only while
// one waits.
type status struct {
	mu      sync.Mutex
	text    string
	pending bool
	armed   bool
	closed  bool
	sent    time.Time
	timer   *time.Timer
	running sync.WaitGroup // armed or running timer
}

// Status sets the line that `systemctl status` shows. It never blocks: the text
// goes at once if none went during the last 100 ms, else after that time, and
// of several meanwhile only the last one goes. What waits is sent before the
// next message of any kind and by Close. An error means that the text itself was
// refused (ErrInvalid, ErrTooLarge) or that the Notifier is closed; a manager
// that does not read is met by the next Send.
func (n *Notifier) Status(text string) error {
	if n == nil {
		return nil
	}
	if _, err := (Message{Status(text)}).Append(nil); err != nil {
		return err
	}
	s := &n.status
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return fmt.Errorf("notify: %w", net.ErrClosed)
	}
	s.text, s.pending = text, true
	s.mu.Unlock()
	n.sendStatus(n.life, false)
	return nil
}

// Statusf is Status with fmt.Sprintf's formatting.
func (n *Notifier) Statusf(format string, args ...any) error {
	if n == nil {
		return nil
	}
	return n.Status(fmt.Sprintf(format, args...))
}

// sendStatus sends what waits if it is due, and has the timer see to the rest. A
// manager that is gone is left to the next send.
func (n *Notifier) sendStatus(ctx context.Context, wait bool) {
	err := n.take(ctx, wait)
	if err == nil {
		if n.status.due() {
			err = n.flush(ctx, wait)
		}
		n.release()
	}
	if err == nil || err == errFull || errors.Is(err, ErrBlocked) {
		n.armStatus()
	}
}

// due reports whether enough time has passed since the last text.
func (s *status) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.sent) >= statusInterval
}

// armStatus sets the timer if a text waits.
func (n *Notifier) armStatus() {
	s := &n.status
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.armed || s.closed || !s.pending {
		return
	}
	s.armed = true
	s.running.Add(1)
	s.timer = time.AfterFunc(time.Until(s.sent.Add(statusInterval)), func() {
		defer s.running.Done()
		s.mu.Lock()
		s.armed = false
		s.mu.Unlock()
		ctx, cancel := n.bounded(context.Background())
		defer cancel()
		n.sendStatus(ctx, true)
	})
}

// flush sends the text that waits. The caller has the turn. After a failure the
// text waits on, unless there is a newer one.
func (n *Notifier) flush(ctx context.Context, wait bool) error {
	s := &n.status
	s.mu.Lock()
	if !s.pending {
		s.mu.Unlock()
		return nil
	}
	text := s.text
	s.pending, s.sent = false, time.Now()
	s.mu.Unlock()
	err := n.transmit(ctx, wait, nil, Message{Status(text)})
	if err != nil {
		s.mu.Lock()
		if !s.pending {
			s.text, s.pending = text, true
		}
		s.mu.Unlock()
	}
	return err
}

// supersede drops the text that waits: a message with a newer one is on its way.
func (s *status) supersede() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending, s.sent = false, time.Now()
}

// stop ends the timer. What waits is left to flush.
func (s *status) stop() {
	s.mu.Lock()
	s.closed = true
	if s.armed && s.timer.Stop() {
		s.armed = false
		s.running.Done()
	}
	s.mu.Unlock()
	s.running.Wait()
}
