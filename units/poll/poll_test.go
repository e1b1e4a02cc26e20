package poll

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestUntil: both waiters return once what they wait for is there, and they go on
// looking until then.
func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var there atomic.Bool
		time.AfterFunc(time.Minute, func() { there.Store(true) })
		looks := 0
		Until(t, "it is there", func() bool { looks++; return there.Load() })
		UntilEqual(t, "there", true, there.Load)
		if waited := time.Since(began); waited < time.Minute || waited > time.Minute+mostPause {
			t.Errorf("it waited %v for what took a minute", waited)
		}
		if most := int(time.Minute/mostPause) + 10; looks > most {
			t.Errorf("it looked %d times, want at most %d", looks, most)
		}
	})
}

// failing notes how a test fails.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = format
	for _, a := range args {
		if s, ok := a.(string); ok {
			f.said += " " + s
		}
	}
}

// TestInVain: what does not come fails the test, which says what it was.
func TestInVain(t *testing.T) {
	for name, wait := range map[string]func(testing.TB){
		"Until":      func(t testing.TB) { Until(t, "the sky falls", func() bool { return false }) },
		"UntilEqual": func(t testing.TB) { UntilEqual(t, "the sky falls", 1, func() int { return 2 }) },
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &failing{TB: t}
			began := time.Now()
			wait(f)
			if !strings.Contains(f.said, "the sky falls") || time.Since(began) < Patience {
				t.Errorf("%s says %q after %v", name, f.said, time.Since(began))
			}
		})
	}
}
