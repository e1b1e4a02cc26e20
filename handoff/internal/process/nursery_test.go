package process

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestNursery: children are made at once, and none while that is halted; who waits for
// either may give up.
func TestNursery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(nursery)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := errors.Join(n.enter(ctx), n.enter(ctx)); err != nil {
			t.Fatal(err)
		}
		if n.quietly(func() {}) {
			t.Error("it is quiet, and two are being made")
		}
		if err := n.halt(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("halted while two are being made: %v", err)
		}
		halted := make(chan error, 1)
		go func() { halted <- n.halt(t.Context()) }()
		n.leave()
		synctest.Wait()
		if len(halted) != 0 {
			t.Error("halted while one is being made")
		}
		n.leave()
		synctest.Wait()
		if len(halted) != 1 || <-halted != nil {
			t.Error("not halted, and none is being made")
		}
		if err := n.enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("one is made while that is halted: %v", err)
		}
		entered := make(chan error, 1)
		go func() { entered <- n.enter(t.Context()) }()
		synctest.Wait()
		if len(entered) != 0 || n.quietly(func() {}) {
			t.Error("it goes on, and is halted")
		}
		n.resume()
		if err := <-entered; err != nil {
			t.Error(err)
		}
		n.leave()
		if !n.quietly(func() {}) {
			t.Error("it is not quiet, and none is being made")
		}
	})
}
