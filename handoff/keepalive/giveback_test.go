package keepalive

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// TestGiveBack: connections that were taken and got nowhere are finished by the
// server that they came from, with every byte, whether they come back at once or
// at the end.
func TestGiveBack(t *testing.T) {
	leaktest.Check(t)
	ln := listen(t, "tcp")
	taken := make(chan Carried, 3)
	var tr *Tracker
	tr = start(t, ln, named("old"), Options{IdleGrace: time.Minute, Flush: func(context.Context) {
		for range 2 {
			tr.GiveBack(<-taken)
		}
	}})
	idle, partial, gone := dial(t, ln.Addr()), dial(t, ln.Addr()), dial(t, ln.Addr())
	for _, p := range []*peer{idle, partial, gone} {
		p.send(get)
		p.want("old ", false)
	}
	partial.send(get[:9])
	poll.Until(t, "the partial request", func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		for c := range tr.live {
			c.mu.Lock()
			defer c.mu.Unlock()
			if string(c.head) == get[:9] {
				return true
			}
		}
		return false
	})
	done := background(t, drainContext(t), tr, func(c Carried) error {
		if c.Conn.RemoteAddr().String() == gone.LocalAddr().String() {
			return c.Conn.Close()
		}
		taken <- c
		return nil
	})
	gone.wantEOF()
	partial.send(get[9:])
	for _, p := range []*peer{partial, idle} {
		if p == idle {
			idle.send(get)
		}
		p.want("old ", true)
		p.wantEOF()
		p.Close()
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := tr.Counts(); c.Idle != 1 || c.Partial != 0 || c.Refused != 2 || c.Finished != 2 || c.Cut != 0 || c.Live != 0 {
		t.Errorf("%+v", c)
	}
}
