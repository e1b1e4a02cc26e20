package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
)

// deliverTimeout bounds a message to a generation. There is room for hundreds of
// them, more than the store ever holds.
const deliverTimeout = 100 * time.Millisecond

// deliver has what is stored go to a generation from now on.
func (s *Supervisor) deliver(to uint64) {
	s.store.target = to
	if p := s.instances[to]; p != nil {
		p.committed = true
		s.discard(s.store.committed(to))
	}
	s.route()
}

// route delivers what is due.
func (s *Supervisor) route() {
	p := s.instances[s.store.target]
	if p == nil || p.deaf {
		return
	}
	for _, e := range s.store.due() {
		ctx, cancel := context.WithTimeout(context.Background(), deliverTimeout)
		id, err := p.deliverer.Deliver(ctx, e.name, e.file)
		cancel()
		if err != nil {
			// Or everything that is stored from now on would have all wait in vain.
			p.deaf = true
			s.logOf(err, p.number, "what is stored could not be delivered, and waits for the next generation")
			return
		}
		e.holders[p.number] = id
	}
}

// order has p told something, by HANDOFF_SOCKET, behind all that was delivered.
func (s *Supervisor) order(gen uint64, what string, send func(context.Context, *parcel.Deliverer) error) {
	p := s.instances[gen]
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), deliverTimeout)
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
		s.discard(s.store.acknowledged(p.number, r.Taken))
		if p.deaf {
			p.deaf = false
			s.route()
		}
	}
	if r.Released != 0 {
		s.feed(generation.Released{Gen: p.number, To: r.Released})
	}
	if r.Resumed != 0 && r.Resumed == p.releaseTo {
		s.feed(generation.Resumed{Gen: p.number})
	}
}

// awaitTaken tells the machine once gen has taken all that it was delivered.
func (s *Supervisor) awaitTaken(gen uint64) {
	if p := s.instances[gen]; p != nil {
		p.awaiting = true
		s.checkTaken(p)
	}
}

func (s *Supervisor) checkTaken(p *instance) {
	// One that does not say that it speaks HANDOFF_SOCKET may not read it: what it is
	// delivered waits for its successor.
	if p.awaiting && (!p.resumable || !s.store.owes(p.number)) {
		p.awaiting = false
		s.feed(generation.Taken{Gen: p.number})
	}
}

// keep stores what p sent, and has the manager keep it too.
func (s *Supervisor) keep(p *instance, n *notify.Notification) {
	name := n.Message.FDName()
	for _, f := range n.Take() {
		e := newEntry(name, f, p.number)
		if full := len(s.store.entries) >= s.store.limit; full && !p.full {
			p.full = true
			s.log.Warn("not stored, and closed: the store is full, see --store and FileDescriptorStoreMax=", "generation", p.number, "name", name, "limit", s.store.limit)
		}
		if s.lastsNot() || !s.store.add(e) {
			f.Close()
			s.log.Debug("not stored", "generation", p.number, "name", name)
			continue
		}
		e.polled = !n.Message.Has("FDPOLL", "0")
		s.poll(e)
		if s.manager.Known() {
			s.keepAbove(e)
		}
	}
	s.route()
}

// poll has e dropped when it hangs up, if that makes it useless.
func (s *Supervisor) poll(e *entry) {
	if e.polled {
		s.lastWatch++
		e.watch = s.lastWatch
		s.hangups.add(e.file, e.watch)
	}
}

// keepAll has the manager keep what was stored before it was known to keep
// anything.
func (s *Supervisor) keepAll() {
	if s.manager.Keeps() && !s.memory.kept {
		s.memory.kept = true
		s.manager.KeepPolled(aboveState, s.memory.file)
	}
	for _, e := range s.store.entries {
		if e.above == "" {
			s.keepAbove(e)
		}
	}
}

// keepAbove has the manager keep e, if it keeps anything.
func (s *Supervisor) keepAbove(e *entry) {
	if !s.manager.Keeps() {
		return
	}
	above, err := s.memory.name(e)
	if err != nil {
		s.logOf(err, e.owner, "the manager does not keep what was stored")
		return
	}
	e.above = above
	s.manager.Keep(e.above, e.file)
}

// lastsNot reports whether nothing that is stored now would find a generation that
// takes it. A program that is told so at once, by the closed descriptor, finishes
// what it would have left.
func (s *Supervisor) lastsNot() bool {
	if s.machine.Situation() != generation.ServiceStopping || s.drain.stage != inRotation {
		return false
	}
	limit, known := s.manager.StoreLimit()
	return !s.manager.Keeps() || known && len(s.store.entries)+1 >= limit
}

// discard lets go of entries that were taken out of the store.
func (s *Supervisor) discard(entries []*entry) {
	for _, e := range entries {
		if e.watch != 0 {
			s.hangups.remove(e.file)
		}
		e.file.Close()
		if e.above != "" {
			s.manager.Drop(e.above)
		}
	}
	if p := s.instances[s.store.target]; p != nil {
		s.checkTaken(p)
	}
}

// hungUp drops an entry that is of no use any more.
func (s *Supervisor) hungUp(watch int32) {
	s.discard(s.store.drop(func(e *entry) bool { return e.watch == watch }))
}

// remember notes the number of a generation, so that no later one gets it.
func (s *Supervisor) remember(gen uint64) error {
	s.memory.last[lastGeneration] = gen
	if err := s.memory.write(); err != nil {
		return fmt.Errorf("note the generation's number: %w", err)
	}
	return nil
}
