package main

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// A sender sends numbered datagrams at a steady rate, so many numbers over and
// over.
type sender struct {
	conn    net.Conn
	numbers int64
	sent    atomic.Int64
	stop    chan struct{}
	result  chan error
}

// rate is how many datagrams a sender sends in a second.
const rate = 10_000

func startSender(t *testing.T, ctx context.Context, m *systemdtest.Machine, numbers int64) *sender {
	t.Helper()
	s := &sender{conn: dialUDP(t, ctx, m), numbers: numbers, stop: make(chan struct{}), result: make(chan error, 1)}
	go func() { s.result <- s.run(ctx) }()
	return s
}

func (s *sender) run(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		for due := int64(time.Since(began).Seconds() * rate); s.sent.Load() < due; s.sent.Add(1) {
			n := s.sent.Load()
			if _, err := fmt.Fprintf(s.conn, "%s:1|c", counter(n%s.numbers)); err != nil {
				return fmt.Errorf("datagram %d: %w", n, err)
			}
		}
		select {
		case <-tick.C:
		case <-s.stop:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("after %d datagrams: %w", s.sent.Load(), context.Cause(ctx))
		}
	}
}

// counter is the name under which a number is counted.
func counter(number int64) string { return fmt.Sprintf("n.%d", number) }

// times is how often a number was sent, of sent datagrams in all.
func (s *sender) times(number, sent int64) int64 {
	return (sent + s.numbers - 1 - number) / s.numbers
}

// finish stops the sender, and returns how many datagrams it has sent.
func (s *sender) finish(t *testing.T) int64 {
	t.Helper()
	close(s.stop)
	if err := <-s.result; err != nil {
		t.Fatal(err)
	}
	return s.sent.Load()
}
