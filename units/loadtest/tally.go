package loadtest

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// mark is where a phase begins.
type mark struct {
	name string
	at   time.Time
}

// phaseAt is the index of the phase that t falls in.
func phaseAt(marks []mark, t time.Time) int {
	i := len(marks) - 1
	for i > 0 && t.Before(marks[i].at) {
		i--
	}
	return i
}

// tally is what one client has counted. Each client has its own, so that its
// lock is free but for the moment in which Load.Counts looks.
type tally struct {
	mu       sync.Mutex
	phases   []*phaseTally // by index of phase; nil where it has counted nothing
	failures []Failure
}

type phaseTally struct {
	counts Counts
	// Packed: it grows with the values that occur, so that thousands of clients
	// and of phases fit in memory.
	latency *hdrhistogram.PackedHistogram
}

// phase returns the counts of phase i; the caller holds the lock.
func (t *tally) phase(i int) *phaseTally {
	for len(t.phases) <= i {
		t.phases = append(t.phases, nil)
	}
	if t.phases[i] == nil {
		t.phases[i] = &phaseTally{latency: hdrhistogram.NewPacked(lowest, highest, digits)}
	}
	return t.phases[i]
}

// record counts a request of phase i that ended so.
func (t *tally) record(i int, o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.phase(i)
	*p.counts.field(o.class)++
	if o.stale() {
		p.counts.Stale++
	}
	if o.connected {
		p.counts.Connections++
	}
	if o.reconnected {
		p.counts.Reconnected++
	}
	if o.class == OK {
		// The histogram's range is longer than any request may take.
		_ = p.latency.RecordValue(int64(max(o.took, 0)))
	}
}

// fail keeps the description of a failure if it is among the first of its class.
func (t *tally) fail(f Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, g := range t.failures {
		if g.Class == f.Class {
			n++
		}
	}
	if n < MaxFailures {
		t.failures = append(t.failures, f)
	}
}

// counts sums the counts of all phases.
func (t *tally) counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum Counts
	for _, p := range t.phases {
		if p != nil {
			sum = sum.Add(p.counts)
		}
	}
	return sum
}

// collect adds what t counted to phases, which has one for each mark.
func (t *tally) collect(phases []Phase) []Failure {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, p := range t.phases {
		if p == nil {
			continue
		}
		phases[i].Counts = phases[i].Counts.Add(p.counts)
		phases[i].Latency.merge(Latency{p.latency})
	}
	return t.failures
}
