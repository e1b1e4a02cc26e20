package supervisor

import (
	"context"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// orderTimeout bounds a message to a generation. There is room for hundreds of them.
const orderTimeout = 100 * time.Millisecond

// order has p told something, by HANDOFF_SOCKET, behind all that was delivered.
func (s *Supervisor) order(gen uint64, what string, send func(context.Context, *parcel.Deliverer) error) {
	p := s.instances[gen]
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), orderTimeout)
	defer cancel()
	s.logOf(send(ctx, p.deliverer), gen, "the generation could not be told "+what)
}

// release has gen give up, for its successor, what only one generation may hold. It
// is told the successor's number, which comes back in its answers.
func (s *Supervisor) release(gen, to uint64) {
	if p := s.instances[gen]; p != nil {
		p.releaseTo = to
	}
	s.order(gen, "to release", func(ctx context.Context, d *parcel.Deliverer) error { return d.Release(ctx, to) })
}

// resume has gen go on as before the last release.
func (s *Supervisor) resume(gen uint64) {
	if p := s.instances[gen]; p != nil {
		s.order(gen, "to resume", func(ctx context.Context, d *parcel.Deliverer) error { return d.Resume(ctx, p.releaseTo) })
	}
}

// acknowledge listens to what p says of what it was given and told, until it ends, or
// ctx does.
func (s *Supervisor) acknowledge(ctx context.Context, p *instance) {
	for {
		r, err := p.deliverer.Next(ctx)
		if err != nil {
			return // it has gone, or is no peer of HANDOFF_SOCKET: what it was given waits
		}
		if !s.post(func() { s.replied(p, r) }) {
			return
		}
	}
}

func (s *Supervisor) replied(p *instance, r parcel.Reply) {
	if r.Taken != 0 {
		s.store.Taken(p.number, r.Taken)
	}
	if r.Released != 0 {
		s.feed(generation.Released{Gen: p.number, To: r.Released})
	}
	if r.Resumed != 0 && r.Resumed == p.releaseTo {
		s.feed(generation.Resumed{Gen: p.number})
	}
}
