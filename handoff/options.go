package handoff

import (
	"context"
	"time"
)

// Options of a Service. The zero value works.
type Options struct {
	// DrainTimeout is how long work under way may take after Run was told to stop
	// (and after LameDuck), before it is cut; 0 is 30 s. TimeoutStopSec= may be
	// shorter: the manager is asked for more time while the drain goes on.
	DrainTimeout time.Duration

	// LameDuck is how long the service goes on accepting after it was told to
	// stop, with Ready negative, so that balancers turn away from it; 0 is not at
	// all.
	LameDuck time.Duration

	// IdleGrace is how long the drain keeps an idle HTTP connection that cannot be
	// carried, such as one with TLS, or without a store, so that a request that is on
	// its way is answered; see keepalive.Options. 0 is 500 ms, a negative one no grace.
	IdleGrace time.Duration

	// ReloadTimeout bounds the callbacks of one reload together; 0 is 30 s.
	ReloadTimeout time.Duration

	// Healthy is asked before every sign of life, where the unit says
	// WatchdogSec=; see notify.Notifier.Watchdog. nil is always well.
	Healthy func(context.Context) error

	// Version is that of the program, which `handoffd status` shows; "" is the one
	// that the Go toolchain noted in it (debug.BuildInfo), if it has.
	Version string

	// Report is told what the service met and went on from: something inherited
	// that nobody knows (ErrUnknown), a state that cannot be read
	// (ErrStateVersion), a limit that was reached (*parcel.LimitError), something
	// that could not be kept (ErrLost). Each error says what and where, and is fit
	// for a log. It is called by one goroutine at a time, and holds up the Service
	// while it runs. nil: nobody is told.
	Report func(error)

	// MaxConns is the most connections that one Carrier serves at once. Fresh
	// ones beyond it wait in the listen queue (but for one of each listener, which
	// is accepted and waits), carried ones in the parcel. 0 is no limit but that of
	// open files.
	MaxConns int

	// KeepConns is how long carried connections whose Carrier or listener this
	// program does not have wait in the store for a later generation; 0: they are
	// closed at once. A generation looks at it when it starts.
	KeepConns time.Duration

	// KeepStates is how long a state that this program cannot read waits in the
	// store for a later generation; 0 is 24 hours.
	KeepStates time.Duration
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		option *time.Duration
		value  time.Duration
	}{
		{&o.DrainTimeout, 30 * time.Second},
		{&o.ReloadTimeout, 30 * time.Second},
		{&o.KeepStates, 24 * time.Hour},
	} {
		if *d.option <= 0 {
			*d.option = d.value
		}
	}
	o.LameDuck = max(o.LameDuck, 0)
	o.KeepConns = max(o.KeepConns, 0)
	o.MaxConns = max(o.MaxConns, 0)
	return o
}
