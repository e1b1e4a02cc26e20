package generation

import "time"

// Options say how long the machine waits and how much it bears. The zero value
// works: a field that is 0 or less has the default that is given with it.
type Options struct {
	// ReadyTimeout is how long a generation may take from its start until it is
	// ready; 90 s, as DefaultTimeoutStartSec= of systemd-system.conf(5).
	ReadyTimeout time.Duration
	// Probation is how long a successor stays ready beside its predecessor before
	// the commit; none.
	Probation time.Duration
	// HoldTimeout is how long a held successor waits for a commit before it is
	// undone; 10 min.
	HoldTimeout time.Duration
	// ReleaseTimeout is how long a predecessor may take to release, before it is
	// told to stop and its successor serves, without a way back; 5 s. Work that takes
	// longer makes the reload no slower than that.
	ReleaseTimeout time.Duration
	// HandoverTimeout bounds each further step of a handover: the successor takes,
	// a successor that failed ends, the predecessor resumes; 30 s.
	HandoverTimeout time.Duration
	// DrainTimeout is how long a generation may take to end after it was told to
	// stop, before it is killed; 60 s.
	DrainTimeout time.Duration
	// HurryTimeout is what is left of DrainTimeout, at most, once a quick end was
	// asked for; 2 s.
	HurryTimeout time.Duration
	// KillTimeout is how long killed processes may take to be gone, before they
	// are given up; 10 s.
	KillTimeout time.Duration
	// MinBackoff is the pause before the first respawn, doubled for each further
	// one up to MaxBackoff; 100 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration
	// SettleAfter is how long a generation must have served for the deaths before
	// it to be forgotten; 10 s.
	SettleAfter time.Duration
	// MaxDeaths is how many deaths, none of them forgotten, make the machine give
	// up; 10.
	MaxDeaths int
	// GiveUpAfter is how long after a death the machine gives up, if no generation has
	// settled until then, instead of after MaxDeaths deaths; 0 is that MaxDeaths counts.
	GiveUpAfter time.Duration
	// MaxGenerations is how many generations may be alive at once; 8. Below 2 it
	// is 2: one that serves, and its successor.
	MaxGenerations int
}

// DefaultDrainTimeout is that of Options.
const DefaultDrainTimeout = 60 * time.Second

// Caps on what callers make the machine remember.
const (
	maxWaiting = 8   // reloads that differ
	maxCallers = 256 // who wait for the verdict on one
)

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		option *time.Duration
		value  time.Duration
	}{
		{&o.ReadyTimeout, 90 * time.Second},
		{&o.HoldTimeout, 10 * time.Minute},
		{&o.ReleaseTimeout, 5 * time.Second},
		{&o.HandoverTimeout, 30 * time.Second},
		{&o.DrainTimeout, DefaultDrainTimeout},
		{&o.HurryTimeout, 2 * time.Second},
		{&o.KillTimeout, 10 * time.Second},
		{&o.MinBackoff, 100 * time.Millisecond},
		{&o.MaxBackoff, 10 * time.Second},
		{&o.SettleAfter, 10 * time.Second},
	} {
		if *d.option <= 0 {
			*d.option = d.value
		}
	}
	o.Probation, o.GiveUpAfter = max(o.Probation, 0), max(o.GiveUpAfter, 0)
	o.MaxBackoff = max(o.MaxBackoff, o.MinBackoff)
	if o.MaxDeaths <= 0 {
		o.MaxDeaths = 10
	}
	if o.MaxGenerations <= 0 {
		o.MaxGenerations = 8
	}
	o.MaxGenerations = max(o.MaxGenerations, 2)
	return o
}

// backoff returns the pause after so many deaths.
func (o Options) backoff(deaths int) time.Duration {
	d := o.MinBackoff
	for ; deaths > 1 && d < o.MaxBackoff; deaths-- {
		d *= 2
	}
	return min(d, o.MaxBackoff)
}
