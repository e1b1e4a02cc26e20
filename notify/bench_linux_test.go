package notify_test

import (
	"context"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/holdfast-go/holdfast/notify"
)

// BenchmarkSend sends WATCHDOG=1 in turn with go-systemd and with this package,
// and reports this package's share of go-systemd's time. The queue is emptied
// between the turns, so that nothing but the sending is timed.
func BenchmarkSend(b *testing.B) {
	r := listen(b, socketPath(b))
	n := open(b, r.Addr())
	b.Setenv("NOTIFY_SOCKET", r.Addr())
	f, err := r.File()
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const turn = 8 // fewer than the smallest queue holds
	var buf [notify.MaxMessage]byte
	timed := func(send func()) time.Duration {
		start := time.Now()
		for range turn {
			send()
		}
		spent := time.Since(start)
		for range turn {
			if k, err := f.Read(buf[:]); err != nil || string(buf[:k]) != "WATCHDOG=1" {
				b.Fatalf("got %q, %v", buf[:k], err)
			}
		}
		return spent
	}
	ctx := context.Background()
	var theirs, ours time.Duration
	sent := 0
	for b.Loop() {
		theirs += timed(func() {
			if ok, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); !ok || err != nil {
				b.Fatal(ok, err)
			}
		})
		ours += timed(func() {
			if err := n.Send(ctx, notify.WatchdogPing()); err != nil {
				b.Fatal(err)
			}
		})
		sent += turn
	}
	b.ReportMetric(0, "ns/op") // of both together it means nothing
	b.ReportMetric(float64(ours)/float64(sent), "ns/send")
	b.ReportMetric(float64(theirs)/float64(sent), "ns/go-systemd")
	b.ReportMetric(float64(ours)/float64(theirs), "of-go-systemd")
}

func TestRepeatedSendDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := listen(t, socketPath(t))
	n := open(t, r.Addr())
	ctx := context.Background()
	send := func() {
		if err := n.Send(ctx, notify.WatchdogPing(), notify.Status("serving")); err != nil {
			t.Fatal(err)
		}
	}
	f, err := r.File() // read without the Receiver, which allocates
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var buf [notify.MaxMessage]byte
	received := 0
	allocs := testing.AllocsPerRun(100, func() {
		send()
		if _, err := f.Read(buf[:]); err == nil {
			received++
		}
	})
	if allocs != 0 || received != 101 {
		t.Errorf("%v allocations a send, want 0; %d of 101 arrived", allocs, received)
	}
}
