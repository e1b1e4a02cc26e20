package keepalive

import "sync/atomic"

// Counts says where connections are and where they went. The totals are since
// New.
type Counts struct {
	Live  int // open, HTTP/1, and not hijacked
	HTTP2 int // open, HTTP/2

	Adopted  uint64 // carried in
	Idle     uint64 // carried out between two requests or before the first
	Partial  uint64 // carried out with bytes read of a request
	Refused  uint64 // that take failed for: they came back and were finished
	Finished uint64 // ended here while draining, by either side
	Cut      uint64 // open when the drain's context ended
	Hijacked uint64 // given away by a handler
}

type counters struct {
	adopted, idle, partial, refused, finished, cut, hijacked atomic.Uint64
}

// Counts returns the counts as they are now.
func (t *Tracker) Counts() Counts {
	t.mu.Lock()
	live, http2 := len(t.live), len(t.http2)
	t.mu.Unlock()
	return Counts{
		Live:     live,
		HTTP2:    http2,
		Adopted:  t.adopted.Load(),
		Idle:     t.idle.Load(),
		Partial:  t.partial.Load(),
		Refused:  t.refused.Load(),
		Finished: t.finished.Load(),
		Cut:      t.cut.Load(),
		Hijacked: t.hijacked.Load(),
	}
}
