package notify

import (
	"context"
	"time"
)

// past is a deadline that wakes whoever waits now.
var past = time.Unix(1, 0)

// wakeAtEnd calls setDeadline with a time in the past when ctx ends. The caller
// calls release when its wait is over, which takes that deadline back, so that
// it does not outlive the call.
func wakeAtEnd(ctx context.Context, setDeadline func(time.Time) error) (release func()) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = setDeadline(past)
	})
	return func() {
		if !stop() {
			<-woken
			_ = setDeadline(time.Time{})
		}
	}
}
