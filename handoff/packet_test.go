package handoff

import (
	"context"
	"errors"
	"testing"
)

// TestPacketSocketIsStopped: Run ends reading, and waits for the reader.
func TestPacketSocketIsStopped(t *testing.T) {
	s := plain(t, Options{})
	conn, err := s.ListenPacket("p", "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	if err := s.Go(func(ctx context.Context) error {
		defer func() { ended = true }()
		for {
			if _, _, err := conn.ReadFrom(make([]byte, 64)); errors.Is(err, ErrDraining) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	done := running(t, s)
	s.Stop()
	if err := result(t, done); err != nil || !ended {
		t.Errorf("Run returned %v, the reader has ended: %v", err, ended)
	}
}
