package resource

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// afterCut is how long whoever minds a context has to return after its end.
const afterCut = time.Second

// past is a deadline that wakes whoever waits.
var past = time.Unix(1, 0)

// Receive waits for ch as long as ctx, and a little longer for those who mind it.
func Receive[T any](ctx context.Context, ch <-chan T) (v T, ok bool) {
	select {
	case v = <-ch:
		return v, true
	case <-ctx.Done():
	}
	select {
	case v = <-ch:
		return v, true
	case <-time.After(afterCut):
		return v, false
	}
}

// Within calls f, a function of the program, which may not mind that ctx has ended.
// Then it is left behind, and what it sets must not be looked at.
func Within(ctx context.Context, f func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	err, ok := Receive(ctx, done)
	if !ok {
		return fmt.Errorf("it does not return: %w", context.Cause(ctx))
	}
	return err
}

// waitAll waits for all until ctx ends.
func waitAll(ctx context.Context, all *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// closed is closed.
var closed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
