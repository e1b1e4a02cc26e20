package handoff

import (
	"time"
)

func (s *Service) report(err error) { s.env.Report.Report(err) }

func (s *Service) reportf(format string, args ...any) { s.env.Report.Reportf(format, args...) }

// Counters says what became of connections and states in this generation.
type Counters struct {
	CarriedIn  uint64 // connections taken over from the generation before
	CarriedOut uint64 // connections left for the next generation
	Finished   uint64 // connections that ended while this generation drained
	Closed     uint64 // connections cut, or closed because they could not be carried
	Refused    uint64 // connections and states that came and were not taken
	StatesIn   uint64 // states loaded
	StatesOut  uint64 // states saved

	Drain time.Duration // how long the drain took, or has taken so far
}

// Counters returns the counters as they are now.
func (s *Service) Counters() Counters {
	count := &s.env.Report.Count
	c := Counters{
		CarriedIn:  count.CarriedIn.Load(),
		CarriedOut: count.CarriedOut.Load(),
		Finished:   count.Finished.Load(),
		Closed:     count.Closed.Load(),
		Refused:    count.Refused.Load(),
		StatesIn:   count.StatesIn.Load(),
		StatesOut:  count.StatesOut.Load(),
		Drain:      count.Drain(),
	}
	finished, cut := s.parts.resources.Counts()
	c.Finished += finished
	c.Closed += cut
	return c
}
