package supervisor

import "context"

// A mainLoop is what Run's goroutine does: one function after the other.
type mainLoop struct {
	calls chan func()
	ended chan struct{} // closed when it takes no more of them
}

func newMainLoop() mainLoop {
	return mainLoop{calls: make(chan func()), ended: make(chan struct{})}
}

// run calls functions until over returns true.
func (l mainLoop) run(over func() bool) {
	for !over() {
		(<-l.calls)()
	}
}

// post has f called by Run's goroutine, and reports whether it will be.
func (l mainLoop) post(f func()) bool {
	select {
	case l.calls <- f:
		return true
	case <-l.ended:
		return false
	}
}

// call has f called by Run's goroutine, and waits for it.
func (l mainLoop) call(f func() error) error {
	done := make(chan error, 1)
	if !l.post(func() { done <- f() }) {
		return ErrEnded
	}
	return <-done
}

// answers reports, for the manager's watchdog, whether Run's goroutine does its
// work.
func (l mainLoop) answers(ctx context.Context) error {
	select {
	case l.calls <- func() {}:
		return nil
	case <-l.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// untilEnded returns a context that ends with ctx, and with the loop; then ErrEnded is
// its cause.
func (l mainLoop) untilEnded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-l.ended:
			cancel(ErrEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
