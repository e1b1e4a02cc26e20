package notify

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// watchdog is what the manager asked for: a sign of life at least every timeout,
// 0 for none.
type watchdog struct {
	timeout time.Duration
	err     error
}

// readWatchdog follows sd_watchdog_enabled(3).
func readWatchdog(env map[string]string) watchdog {
	value, ok := env["WATCHDOG_USEC"]
	if !ok {
		return watchdog{}
	}
	if pid, ok := env["WATCHDOG_PID"]; ok {
		id, err := strconv.Atoi(pid)
		if err != nil || id <= 0 {
			return watchdog{err: fmt.Errorf("notify: %w: WATCHDOG_PID=%q", ErrInvalid, pid)}
		}
		if id != os.Getpid() {
			return watchdog{} // meant for the process that started this one
		}
	}
	timeout, err := ParseUsec(value)
	if err != nil || timeout == 0 {
		return watchdog{err: fmt.Errorf("notify: %w: WATCHDOG_USEC=%q", ErrInvalid, value)}
	}
	return watchdog{timeout: timeout}
}

// WatchdogTimeout returns the longest silence that the manager takes, from
// WATCHDOG_USEC, or 0 where it asked for no signs of life from this process.
func (n *Notifier) WatchdogTimeout() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog.timeout
}

// Watchdog sends WATCHDOG=1 now and at half of WatchdogTimeout, each time that
// healthy returns nil, until ctx ends; then it returns nil. It returns at once
// where the manager asked for no watchdog of this process (WATCHDOG_USEC absent,
// or WATCHDOG_PID another), and with ErrInvalid where those variables are
// malformed.
//
// healthy gets a context that ends after a quarter of the timeout, and must
// return by then: one that hangs withholds the pings, as one that fails does,
// and then the manager ends the service (WatchdogSignal=). A nil healthy is
// always well. A ping that could not be sent is tried again at the next beat.
func (n *Notifier) Watchdog(ctx context.Context, healthy func(context.Context) error) error {
	if n == nil {
		return nil
	}
	if n.watchdog.err != nil {
		return n.watchdog.err
	}
	timeout := n.watchdog.timeout
	if timeout == 0 {
		return nil
	}
	beat := time.NewTicker(max(timeout/2, 1))
	defer beat.Stop()
	for ctx.Err() == nil {
		n.ping(ctx, timeout/4, healthy)
		select {
		case <-beat.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// ping asks for the health and tells the manager, within limit each.
func (n *Notifier) ping(ctx context.Context, limit time.Duration, healthy func(context.Context) error) {
	if healthy != nil {
		checkCtx, cancel := context.WithTimeout(ctx, limit)
		err := healthy(checkCtx)
		cancel()
		if err != nil {
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The next beat comes before the manager's patience ends, and an error here
	// has no better answer than to try again.
	_ = n.Send(ctx, WatchdogPing())
}
