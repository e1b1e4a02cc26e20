package report

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/parcel"
)

func TestClip(t *testing.T) {
	long := strings.Repeat("ä", 2000)
	for text, want := range map[string]string{
		"":              "",
		"a\nb\r\n\tc":   "a b c",
		"\xff":          "\uFFFD",
		"\x1b[31mred\a": "\uFFFD[31mred\uFFFD",
		long:            strings.Repeat("ä", 500) + "...",
		"x" + long[:20]: "x" + long[:20],
		long[:1000]:     long[:1000],
	} {
		if got := Clip(text, 1000); got != want {
			t.Errorf("Clip(%.20q...) = %.40q..., want %.40q...", text, got, want)
		}
	}
}

// TestPrintable: a tab does nothing to a terminal but what it is for.
func TestPrintable(t *testing.T) {
	if got, want := Printable("a\tb\x1b\xff"), "a\tb\uFFFD\uFFFD"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLimited(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{ErrLost, false},
		{fmt.Errorf("%w: %w", ErrLost, &parcel.LimitError{Limit: parcel.LimitFiles}), true},
	} {
		if got := Limited(c.err); got != c.want {
			t.Errorf("Limited(%v) is %t", c.err, got)
		}
	}
}

// TestReporter: one goroutine at a time is told, and nobody of nil.
func TestReporter(t *testing.T) {
	told := 0 // without a lock: the race detector looks on
	r := New(func(err error) {
		if !errors.Is(err, ErrLost) || !strings.HasPrefix(err.Error(), "handoff: ") {
			t.Errorf("told %v", err)
		}
		told++
	})
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { r.Reportf("%w", ErrLost) })
	}
	all.Wait()
	r.Report(nil)
	if told != 10 {
		t.Errorf("told %d times, want 10", told)
	}
	New(nil).Report(ErrLost)
}

func TestLosses(t *testing.T) {
	var told []error
	r := New(func(err error) { told = append(told, err) })
	if err := r.Losses(); err != nil {
		t.Errorf("before any: %v", err)
	}
	for i := range 3 {
		c, other := net.Pipe()
		r.Lose(c, fmt.Errorf("reason %d", i))
		if _, err := other.Write([]byte("x")); err == nil {
			t.Error("a connection that was lost is open")
		}
	}
	err := r.Losses()
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "3 connections") || !strings.Contains(err.Error(), "reason 0") {
		t.Errorf("got %v", err)
	}
	if err := r.Losses(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if n := r.Count.Closed.Load(); n != 3 {
		t.Errorf("%d counted as closed", n)
	}
	r.NotCarried(errors.New("first"))
	r.NotCarried(errors.New("second"))
	if len(told) != 1 || !strings.Contains(told[0].Error(), "first") {
		t.Errorf("told %v, want the first reason alone", told)
	}
}

func TestCarriedIn(t *testing.T) {
	r := New(nil)
	for range 3 {
		r.CountCarriedIn() // does not wait for anybody
	}
	<-r.CarriedIn()
	select {
	case <-r.CarriedIn():
		t.Error("it has not grown again")
	default:
	}
	if n := r.Count.CarriedIn.Load(); n != 3 {
		t.Errorf("%d counted", n)
	}
}

func TestDrain(t *testing.T) {
	var c Counters
	if d := c.Drain(); d != 0 {
		t.Errorf("%v before one", d)
	}
	ended := c.DrainBegan()
	for c.Drain() == 0 {
		time.Sleep(time.Nanosecond)
	}
	ended()
	if d := c.Drain(); d <= 0 || d != c.Drain() {
		t.Errorf("%v, and it goes on", d)
	}
	c.drainBegan.Store(time.Now().Add(-time.Hour).UnixNano()) // as if it had
	if d := c.Drain(); d < time.Hour/2 || d > 2*time.Hour {
		t.Errorf("an hour is %v", d)
	}
	ended = c.DrainBegan()
	for first := c.Drain(); c.Drain() == first; {
		time.Sleep(time.Nanosecond)
	}
	ended()
	if d := c.Drain(); d <= 0 || d > time.Hour/2 || d != c.Drain() {
		t.Errorf("%v of a second one, and it goes on", d)
	}
}
