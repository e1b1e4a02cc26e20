package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// Clients that come while the chat is replaced are served, too, wherever their
// handshake is.
func TestJoins(t *testing.T) {
	onSystemds(t, func(t *testing.T, ctx context.Context, m *systemdtest.Machine, way exampletest.Way) {
		ctx, fail := context.WithCancelCause(ctx)
		defer fail(nil)
		stop := make(chan struct{})
		var joined [8]atomic.Int64
		visit := func(nick string) error {
			c, err := join(ctx, m.Dial, address, "room-"+nick, nick)
			if err != nil {
				return err
			}
			defer c.conn.CloseNow()
			if err := c.say(ctx, "hello"); err != nil {
				return err
			}
			for _, want := range []string{"* " + nick + " joined", nick + ": hello"} {
				if got, err := c.hear(ctx); err != nil || got != want {
					return fmt.Errorf("heard %q and error %w, want %q", got, err, want)
				}
			}
			return c.conn.Close(websocket.StatusNormalClosure, "bye")
		}
		var busy sync.WaitGroup
		for i := range joined {
			busy.Go(func() {
				for nick := strconv.Itoa(i); ; joined[i].Add(1) {
					select {
					case <-stop:
						return
					default:
					}
					if err := visit(nick); err != nil {
						fail(fmt.Errorf("%s, after %d visits: %w", nick, joined[i].Load(), err))
						return
					}
				}
			})
		}
		for n := range replacements + 1 {
			// Of this generation: one that is replaced before it has the rooms turns away
			// who waits for them.
			var want [len(joined)]int64
			for i := range joined {
				want[i] = joined[i].Load() + 10
			}
			exampletest.WaitFor(t, ctx, "visits", func() bool {
				for i := range joined {
					if joined[i].Load() < want[i] {
						return false
					}
				}
				return true
			})
			if n < replacements {
				way.Replace()
			}
		}
		close(stop)
		busy.Wait()
		if err := context.Cause(ctx); err != nil {
			t.Fatal(err)
		}
	})
}
