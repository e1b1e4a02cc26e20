package supervisor

import (
	"context"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// orderTimeout bounds a message to a generation. There is room for hundreds of them.
const orderTimeout = 100 * time.Millisecond

// orders are what a generation is told by HANDOFF_SOCKET, each behind all that was
// delivered before. They belong to Run's goroutine.
type orders struct {
	deliverer *parcel.Deliverer
	resumable bool   // it has said that it can release and resume
	releaseTo uint64 // the successor for which it was last asked to release
}

// An ordersState is orders in the saved state.
type ordersState struct {
	Deliverer    fd.Ref `json:"deliverer"`
	LastDelivery uint64 `json:"last_delivery,omitempty"`
	Resumable    bool   `json:"resumable,omitempty"`
	ReleaseTo    uint64 `json:"release_to,omitempty"`
}

func (o *orders) send(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), orderTimeout)
	defer cancel()
	return f(ctx)
}

// owned says that no other generation holds anything.
func (o *orders) owned() error { return o.send(o.deliverer.Owned) }

// release has it give up, for its successor, what only one generation may hold. The
// successor's number comes back in its answers.
func (o *orders) release(to uint64) error {
	o.releaseTo = to
	return o.send(func(ctx context.Context) error { return o.deliverer.Release(ctx, to) })
}

// resume has it go on as before the last release.
func (o *orders) resume() error {
	return o.send(func(ctx context.Context) error { return o.deliverer.Resume(ctx, o.releaseTo) })
}

// quiesce says that the service leaves the rotation, or stays.
func (o *orders) quiesce(away bool) error {
	return o.send(func(ctx context.Context) error { return o.deliverer.Quiesce(ctx, away) })
}

func (o *orders) snapshot(files *reexec.Files) ordersState {
	return ordersState{
		Deliverer: files.Add(o.deliverer.Dup()), LastDelivery: o.deliverer.Last(),
		Resumable: o.resumable, ReleaseTo: o.releaseTo,
	}
}

// restore goes on where a snapshot was taken.
func (o *orders) restore(st ordersState, file func(fd.Ref) *os.File) (err error) {
	o.resumable, o.releaseTo = st.Resumable, st.ReleaseTo
	f := file(st.Deliverer)
	defer f.Close() // there is a duplicate
	o.deliverer, err = parcel.ResumeDeliverer(f, st.LastDelivery)
	return err
}

// receiveReplies passes on what p says of what it was given and told, until it ends, or
// ctx does.
func (s *Supervisor) receiveReplies(ctx context.Context, p *instance) {
	for {
		r, err := p.orders.deliverer.Next(ctx)
		if err != nil {
			return // it has gone, or is no peer of HANDOFF_SOCKET: what it was given waits
		}
		if !s.post(func() { s.handleReply(p, r) }) {
			return
		}
	}
}

func (s *Supervisor) handleReply(p *instance, r parcel.Reply) {
	if r.Taken != 0 {
		s.store.Taken(p.number, r.Taken)
	}
	if r.Released != 0 {
		s.feed(generation.Released{Gen: p.number, To: r.Released})
	}
	if r.Resumed != 0 && r.Resumed == p.orders.releaseTo {
		s.feed(generation.Resumed{Gen: p.number})
	}
}
