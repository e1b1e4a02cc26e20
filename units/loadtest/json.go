package loadtest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// phaseJSON is Phase as JSON; the package comment documents it.
type phaseJSON struct {
	Name      string      `json:"name"`
	Start     time.Time   `json:"start"`
	ElapsedNS int64       `json:"elapsed_ns"`
	Requests  int64       `json:"requests"`
	Failed    int64       `json:"failed"`
	Counts    Counts      `json:"counts"`
	LatencyNS latencyJSON `json:"latency_ns"`
	Histogram string      `json:"histogram,omitempty"`
}

type latencyJSON struct {
	Min  int64 `json:"min"`
	Mean int64 `json:"mean"`
	P50  int64 `json:"p50"`
	P90  int64 `json:"p90"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p99_9"`
	Max  int64 `json:"max"`
}

var (
	_ json.Marshaler   = Phase{}
	_ json.Unmarshaler = (*Phase)(nil)
)

// MarshalJSON implements json.Marshaler. The histogram is within, so that what
// reads the JSON can merge phases and ask for other percentiles.
func (p Phase) MarshalJSON() ([]byte, error) {
	l := p.Latency
	j := phaseJSON{
		Name: p.Name, Start: p.Start, ElapsedNS: int64(p.Elapsed),
		Requests: p.Counts.Requests(), Failed: p.Counts.Failed(), Counts: p.Counts,
		LatencyNS: latencyJSON{
			Min: int64(l.Min()), Mean: int64(l.Mean()),
			P50: int64(l.Percentile(50)), P90: int64(l.Percentile(90)),
			P99: int64(l.Percentile(99)), P999: int64(l.Percentile(99.9)), Max: int64(l.Max()),
		},
	}
	if l.Count() > 0 {
		encoded, err := l.h.EncodeV2()
		if err != nil {
			return nil, fmt.Errorf("loadtest: phase %q: encode its histogram: %w", p.Name, err)
		}
		j.Histogram = string(encoded)
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler. What follows from the counts and
// from the histogram (requests, failed, latency_ns) is not read.
func (p *Phase) UnmarshalJSON(b []byte) error {
	var j phaseJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	q := Phase{Name: j.Name, Start: j.Start, Elapsed: time.Duration(j.ElapsedNS), Counts: j.Counts}
	if j.Histogram != "" {
		h, err := hdrhistogram.DecodePacked([]byte(j.Histogram))
		if err != nil {
			return fmt.Errorf("loadtest: phase %q: decode its histogram: %w", j.Name, err)
		}
		q.Latency.h = h
	}
	*p = q
	return nil
}
