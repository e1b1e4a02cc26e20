package loadtest

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The histograms hold nanoseconds, to three significant digits, with 1 µs as
// the smallest difference of interest. All have this shape, so that any two of
// them merge without loss.
const (
	lowest  = int64(time.Microsecond)
	highest = int64(2 * MaxTimeout)
	digits  = 3
)

// Latency is how long requests took, as an HdrHistogram: each value is kept to
// three significant digits. The zero value is empty.
type Latency struct{ h *hdrhistogram.PackedHistogram }

// Count is the number of requests.
func (l Latency) Count() int64 {
	if l.h == nil {
		return 0
	}
	return l.h.TotalCount()
}

// Percentile is the latency that p percent of the requests did not exceed; p is
// between 0 and 100. It is 0 if there were none.
func (l Latency) Percentile(p float64) time.Duration {
	if l.h == nil {
		return 0
	}
	return time.Duration(l.h.ValueAtPercentile(p))
}

// Min, Max and Mean are 0 if there were no requests.
func (l Latency) Min() time.Duration {
	if l.Count() == 0 {
		return 0
	}
	return time.Duration(l.h.Min())
}

// Max is the longest; see Min.
func (l Latency) Max() time.Duration { return l.Percentile(100) }

// Mean is the arithmetic mean; see Min.
func (l Latency) Mean() time.Duration {
	if l.Count() == 0 {
		return 0
	}
	return time.Duration(l.h.Mean())
}

// merge adds what m holds to l.
func (l *Latency) merge(m Latency) {
	if m.h == nil {
		return
	}
	if l.h == nil {
		l.h = m.h.Clone()
		return
	}
	l.h.Merge(m.h)
}
