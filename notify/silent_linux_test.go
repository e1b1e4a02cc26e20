package notify_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// fill sends until the manager's queue is full, and returns how many went.
func fill(t *testing.T, n *notify.Notifier) int {
	t.Helper()
	for sent := range 100_000 {
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		err := n.Send(ctx, notify.WatchdogPing())
		cancel()
		if errors.Is(err, notify.ErrBlocked) {
			return sent
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the queue never fills")
	return 0
}

func TestSilentManager(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.Options{Silent: true}.New(t)
	n, err := notify.Options{
		Environ: []string{"NOTIFY_SOCKET=" + m.Socket()},
		Timeout: 20 * time.Millisecond,
	}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if sent := fill(t, n); sent == 0 {
		t.Fatal("not one message went")
	}

	if err := n.Ready(context.Background()); !errors.Is(err, notify.ErrBlocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context without a deadline: %v, want ErrBlocked after Options.Timeout", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(500*time.Millisecond, cancel)
	defer cancel()
	if err := n.Barrier(ctx); !errors.Is(err, notify.ErrBlocked) {
		t.Errorf("Barrier: %v, want ErrBlocked", err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.Ready(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v, want context.Canceled", err)
	}
	if err := n.Store(context.Background(), "null", os.Stdin); !errors.Is(err, notify.ErrBlocked) {
		t.Errorf("Store: %v, want ErrBlocked", err)
	}
	if err := n.Status("never read"); err != nil {
		t.Errorf("Status: %v, want none: it never waits", err)
	}
	if err := n.Close(); !errors.Is(err, notify.ErrBlocked) {
		t.Errorf("Close with a status unsent: %v, want ErrBlocked", err)
	}
}

// A send that waits goes on as soon as there is room, and its connection is as
// good as new after a deadline has passed on it.
func TestSendWaitsForRoom(t *testing.T) {
	leaktest.Check(t)
	path := socketPath(t)
	r := listen(t, path)
	n := open(t, path)
	sent := fill(t, n)
	waiting := make(chan error, 1)
	go func() { waiting <- n.Ready(limited(t)) }()
	for range sent {
		if _, err := r.Receive(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-waiting; err != nil {
		t.Fatalf("there was room: %v", err)
	}
	if got, err := r.Receive(limited(t)); err != nil || !got.Message.Has("READY", "1") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSendNoticesManagerGoneWhileItWaits(t *testing.T) {
	leaktest.Check(t)
	path := socketPath(t)
	r := listen(t, path)
	n := open(t, path)
	fill(t, n)
	waiting := make(chan error, 1)
	go func() { waiting <- n.Ready(limited(t)) }()
	r.Close()
	if err := <-waiting; !errors.Is(err, notify.ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
}
