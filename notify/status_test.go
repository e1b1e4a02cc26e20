package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatusIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{})
		for i := range 1000 {
			if err := n.Statusf("step %d", i); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := c.texts(), []string{"STATUS=step 0"}; !slices.Equal(got, want) {
			t.Fatalf("at once %q, want %q", got, want)
		}
		time.Sleep(statusInterval)
		synctest.Wait()
		if got, want := c.texts(), []string{"STATUS=step 0", "STATUS=step 999"}; !slices.Equal(got, want) {
			t.Fatalf("after the interval %q, want %q", got, want)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := len(c.texts()); got != 2 {
			t.Errorf("%d messages after an idle hour, want 2", got)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestStatusRateIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{})
		var callers sync.WaitGroup
		for caller := range 4 {
			callers.Go(func() {
				for i := range 1000 {
					n.Statusf("%d of %d", i, caller)
					time.Sleep(time.Millisecond)
				}
			})
		}
		callers.Wait()
		n.Close()
		if len(c.sent) < 9 || len(c.sent) > 12 {
			t.Errorf("%d messages for 4,000 in a second, want one every %v", len(c.sent), statusInterval)
		}
		if last := c.sent[len(c.sent)-1].text; !strings.HasPrefix(last, "STATUS=999 of ") {
			t.Errorf("the last message was %q, want the last status", last)
		}
	})
}

func TestStatusGoesBeforeWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{})
		n.Status("one")
		n.Status("two")
		n.Ready(t.Context())
		n.Status("three")
		n.Send(t.Context(), Stopping(), Status("four")) // newer than three
		n.Status("five")
		n.Close()
		want := []string{"STATUS=one", "STATUS=two", "READY=1", "STOPPING=1\nSTATUS=four", "STATUS=five"}
		if got := c.texts(); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := n.Status("six"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Status after Close: %v, want net.ErrClosed", err)
		}
	})
}

func TestStatusNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{})
		room := make(chan struct{})
		c.set(room, nil)
		start := time.Now()
		for i := range 10 {
			if err := n.Statusf("%d", i); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("Status took %v with a full queue", d)
		}
		// The manager comes back only after several deadlines have passed.
		time.Sleep(3 * DefaultTimeout)
		close(room)
		synctest.Wait()
		if got, want := c.texts(), []string{"STATUS=9"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		n.Close()
	})
}

func TestStatusWaitsForNextSendAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{})
		c.set(nil, fmt.Errorf("fake: %w", ErrGone))
		n.Status("kept")
		if err := n.Ready(t.Context()); !errors.Is(err, ErrGone) {
			t.Errorf("Ready without a manager: %v, want ErrGone", err)
		}
		time.Sleep(time.Hour) // no timer tries for ever
		c.set(nil, nil)
		synctest.Wait()
		if err := n.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := c.texts(), []string{"STATUS=kept", "READY=1"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		n.Close()
	})
}

func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{})
		c.set(make(chan struct{}), nil)
		n.Status("never read")
		sending := make(chan error, 1)
		hour, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() { sending <- n.Ready(hour) }()
		time.Sleep(time.Second)
		start := time.Now()
		if err := n.Close(); !errors.Is(err, ErrBlocked) {
			t.Errorf("Close with a status that nobody reads: %v, want ErrBlocked", err)
		}
		if d := time.Since(start); d > DefaultTimeout {
			t.Errorf("Close took %v", d)
		}
		if err := <-sending; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Ready: %v, want net.ErrClosed", err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
	})
}

func TestStatusRefusesText(t *testing.T) {
	n, c := newFake(watchdog{})
	defer n.Close()
	for text, want := range map[string]error{
		"a\nb": ErrInvalid, "\xff": ErrInvalid, strings.Repeat("x", MaxMessage): ErrTooLarge,
	} {
		if err := n.Status(text); !errors.Is(err, want) {
			t.Errorf("Status(%.10q): %v, want %v", text, err, want)
		}
	}
	if got := c.texts(); len(got) != 0 {
		t.Errorf("sent %q", got)
	}
}
