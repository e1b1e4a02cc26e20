package report

import (
	"sync/atomic"
	"time"
)

// Counters say what became of connections and states in this generation. Those of
// HTTP connections that were finished or cut are counted by their servers until they
// are over.
type Counters struct {
	CarriedIn  atomic.Uint64 // connections taken over from the generation before
	CarriedOut atomic.Uint64 // connections left for the next generation
	Finished   atomic.Uint64 // connections that ended while this generation drained
	Closed     atomic.Uint64 // connections cut, or closed because they could not be carried
	Refused    atomic.Uint64 // connections and states that came and were not taken
	StatesIn   atomic.Uint64 // states loaded
	StatesOut  atomic.Uint64 // states saved

	drainBegan, drainEnded atomic.Int64 // Unix time in nanoseconds, 0: not yet
}

// DrainBegan notes the time, and returns what notes that the drain is over.
func (c *Counters) DrainBegan() (ended func()) {
	c.drainEnded.Store(0)
	c.drainBegan.Store(time.Now().UnixNano())
	return func() { c.drainEnded.Store(time.Now().UnixNano()) }
}

// Drain returns how long the last drain took, or has taken so far; 0 without one.
func (c *Counters) Drain() time.Duration {
	began := c.drainBegan.Load()
	if began == 0 {
		return 0
	}
	ended := c.drainEnded.Load()
	if ended == 0 {
		ended = time.Now().UnixNano()
	}
	return time.Duration(ended - began)
}
