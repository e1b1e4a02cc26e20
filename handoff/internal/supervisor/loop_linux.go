package supervisor

import "context"

// A loop is a goroutine that can be halted, and go on later.
type loop struct {
	f      func(ctx context.Context) // returns when ctx ends, or what it waits for is closed
	cancel context.CancelFunc
	done   chan struct{}
}

func newLoop(f func(ctx context.Context)) *loop {
	l := &loop{f: f}
	l.resume()
	return l
}

// resume starts it, or goes on with it after halt.
func (l *loop) resume() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	l.cancel, l.done = cancel, done
	go func() {
		defer close(done)
		defer cancel()
		l.f(ctx)
	}()
}

// halt returns when it does nothing any more.
func (l *loop) halt() {
	l.cancel()
	<-l.done
}
