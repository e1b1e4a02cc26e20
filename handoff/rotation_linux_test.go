package handoff

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
	"github.com/holdfast-go/holdfast/units/poll"
)

// TestRotation leaves the rotation and comes back under clients that come all the
// time: each is served or refused, and those that stay are told to go.
func TestRotation(t *testing.T) {
	const times, clients, served = 3, 8, 200
	s := plain(t, Options{})
	ln := listening(t, s, "http")
	echo := listening(t, s, "echo")
	if err := s.Serve(ln, &http.Server{Handler: s.ReadyHandler()}); err != nil {
		t.Fatal(err)
	}
	k, err := s.Carry("echo", func(_ context.Context, c net.Conn, _ []byte) ([]byte, error) {
		_, err := io.Copy(c, c)
		return nil, err
	})
	if err == nil {
		err = k.Serve(echo)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.LeaveRotation(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before Run: %v", err)
	}
	done := running(t, s)

	stayed, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stayed.Close()
	var ok, refused, lost atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range clients {
		load.Go(func() {
			for ctx.Err() == nil {
				switch err := visit(ln.Addr().String()); {
				case err == nil:
					ok.Add(1)
				case errors.Is(err, syscall.ECONNREFUSED):
					refused.Add(1)
					time.Sleep(time.Millisecond)
				default:
					lost.Add(1)
					t.Error(err)
				}
			}
		})
	}
	await := func(count *atomic.Int64) {
		t.Helper()
		more := count.Load() + served
		poll.Until(t, "more clients were served or refused", func() bool { return count.Load() >= more })
	}
	for i := range times {
		await(&ok)
		if err := s.LeaveRotation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.Ready() {
			t.Error("ready, and out of the rotation")
		}
		if _, err := net.Dial("tcp", echo.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the carrier's listener: %v, want refused", err)
		}
		if i == 0 {
			fmt.Fprint(stayed, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(stayed), nil)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusServiceUnavailable || !answer.Close {
				t.Errorf("one that stays is answered %s, close %v", answer.Status, answer.Close)
			}
		}
		await(&refused)
		if err := s.LeaveRotation(t.Context()); err != nil {
			t.Errorf("once more: %v", err)
		}
		for range 2 {
			if err := s.RejoinRotation(); err != nil {
				t.Fatal(err)
			}
		}
		if !s.Ready() {
			t.Error("back in the rotation, and not ready")
		}
	}
	await(&ok)
	stop()
	load.Wait()

	// The end of Run leaves a listener that listens.
	shared, err := fd.Duplicate(ln.(syscall.Conn), "listener")
	if err != nil {
		t.Fatal(err)
	}
	defer shared.Close()
	if err := s.LeaveRotation(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if err := result(t, done); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Errorf("after Run: %v", err)
	} else {
		c.Close()
	}
	if err := s.LeaveRotation(t.Context()); !errors.Is(err, ErrDraining) {
		t.Errorf("after Run: %v", err)
	}
	t.Logf("%d served, %d refused, %d lost", ok.Load(), refused.Load(), lost.Load())
}

// visit makes one request on a connection of its own.
func visit(address string) error {
	c, err := net.DialTimeout("tcp", address, poll.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(poll.Patience))
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// TestLeavingRotationIsUndone: a LeaveRotation that was ended leaves the service as it was.
func TestLeavingRotationIsUndone(t *testing.T) {
	for _, lameDuck := range []time.Duration{0, poll.Patience} {
		s := plain(t, Options{LameDuck: lameDuck})
		ln := listening(t, s, "http")
		if err := s.Serve(ln, &http.Server{Handler: s.ReadyHandler()}); err != nil {
			t.Fatal(err)
		}
		done := running(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), rotation.Least/10)
		if err := s.LeaveRotation(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ends with %v", err)
		}
		cancel()
		if err := visit(ln.Addr().String()); err != nil || !s.Ready() {
			t.Errorf("afterwards: %v, ready %v", err, s.Ready())
		}
		left := make(chan error, 1)
		go func() { left <- s.LeaveRotation(t.Context()) }()
		poll.Until(t, "it is not ready", func() bool { return !s.Ready() })
		s.Stop()
		if err := result(t, done); err != nil {
			t.Error(err)
		}
		if err := <-left; err != nil && !errors.Is(err, ErrDraining) {
			t.Errorf("with a drain: %v", err)
		}
	}
}
