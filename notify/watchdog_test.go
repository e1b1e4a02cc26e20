package notify

import (
	"context"
	"errors"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestReadWatchdog(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		name    string
		env     map[string]string
		timeout time.Duration
		wrong   bool
	}{
		{"none", nil, 0, false},
		{"PID alone", map[string]string{"WATCHDOG_PID": own}, 0, false},
		{"any process", map[string]string{"WATCHDOG_USEC": "20000000"}, 20 * time.Second, false},
		{"this process", map[string]string{"WATCHDOG_USEC": "1", "WATCHDOG_PID": own}, time.Microsecond, false},
		{"another process", map[string]string{"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}, 0, false},
		{"PID malformed", map[string]string{"WATCHDOG_USEC": "1", "WATCHDOG_PID": "x"}, 0, true},
		{"PID zero", map[string]string{"WATCHDOG_USEC": "1", "WATCHDOG_PID": "0"}, 0, true},
		{"time malformed", map[string]string{"WATCHDOG_USEC": "20s"}, 0, true},
		{"time zero", map[string]string{"WATCHDOG_USEC": "0"}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := readWatchdog(tt.env)
			if got.timeout != tt.timeout || errors.Is(got.err, ErrInvalid) != tt.wrong {
				t.Errorf("got %v, %v, want %v, an error: %v", got.timeout, got.err, tt.timeout, tt.wrong)
			}
		})
	}
}

func TestWatchdogReturnsWhereNoneIsAsked(t *testing.T) {
	n, _ := newFake(watchdog{})
	defer n.Close()
	if err := n.Watchdog(context.Background(), nil); err != nil {
		t.Error(err)
	}
	n.watchdog.err = ErrInvalid
	if err := n.Watchdog(context.Background(), nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestWatchdogPingsAtHalfTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{timeout: 20 * time.Second})
		defer n.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 65*time.Second)
		defer cancel()
		if err := n.Watchdog(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(c.began); d != 65*time.Second {
			t.Errorf("returned after %v, want the end of its context", d)
		}
		if len(c.sent) != 7 {
			t.Fatalf("%d pings in 65 s, want 7: %v", len(c.sent), c.sent)
		}
		for i, m := range c.sent {
			if want := time.Duration(i) * 10 * time.Second; m.text != "WATCHDOG=1" || m.at != want {
				t.Errorf("ping %d: %q at %v, want WATCHDOG=1 at %v", i, m.text, m.at, want)
			}
		}
	})
}

func TestWatchdogAsksForHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{timeout: 20 * time.Second})
		defer n.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		asked := 0
		err := n.Watchdog(ctx, func(ctx context.Context) error {
			asked++
			if d, ok := ctx.Deadline(); !ok || time.Until(d) != 5*time.Second {
				t.Errorf("the check has until %v, want 5 s", time.Until(d))
			}
			switch asked {
			case 2:
				return errors.New("ill")
			case 3: // hangs until its deadline
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		if err != nil || asked != 5 {
			t.Errorf("asked %d times, %v, want 5", asked, err)
		}
		if len(c.sent) != 3 || c.sent[1].at != 30*time.Second || c.sent[2].at != 40*time.Second {
			t.Errorf("pings %v, want at 0, 30 and 40 s", c.sent)
		}
	})
}

func TestWatchdogOutlivesAnAbsentManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, c := newFake(watchdog{timeout: 20 * time.Second})
		defer n.Close()
		c.set(nil, ErrGone)
		time.AfterFunc(15*time.Second, func() { c.set(nil, nil) })
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		if err := n.Watchdog(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if len(c.sent) != 1 || c.sent[0].at != 20*time.Second {
			t.Errorf("pings %v, want one at 20 s", c.sent)
		}
	})
}
