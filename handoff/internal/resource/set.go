package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A Set is all resources of a service. The Service adds to it, under a lock of its own,
// until Freeze; from then on any goroutine reads it without one.
type Set struct {
	list   []Resource // what is a Background begins in this order
	routes map[route]Adopter
	strays map[string]Adopter // by kind; "" has the other kinds
	frozen atomic.Bool
}

// A route leads an entry to the resource that goes on with it.
type route struct{ kind, name string }

// Add adds a resource.
func (s *Set) Add(r Resource) {
	s.change()
	s.list = append(s.list, r)
}

// Route has a go on with entries of a kind and name. It reports whether there was none
// that does; then the other stays.
func (s *Set) Route(kind, name string, a Adopter) bool {
	s.change()
	if s.routes == nil {
		s.routes = make(map[route]Adopter)
	}
	r := route{kind, name}
	if s.routes[r] != nil {
		return false
	}
	s.routes[r] = a
	return true
}

// Stray has a judge entries of a kind for which there is no route; "" is every kind for
// which Stray was not called.
func (s *Set) Stray(kind string, a Adopter) {
	s.change()
	if s.strays == nil {
		s.strays = make(map[string]Adopter)
	}
	s.strays[kind] = a
}

// Freeze says that nothing is added any more.
func (s *Set) Freeze() { s.frozen.Store(true) }

// change panics after Freeze: others read without a lock.
func (s *Set) change() {
	if s.frozen.Load() {
		panic("handoff: a resource is added while the service runs")
	}
}

// Serve starts the servers in p.
func (s *Set) Serve(p *Period) {
	for _, r := range s.list {
		if _, ok := r.(Background); !ok {
			r.Start(p)
		}
	}
}

// Begin starts what runs beside the servers, when it is over in the period before; nil:
// there is none.
func (s *Set) Begin(env *Env, p, before *Period) {
	if before == nil {
		s.begin(p)
		return
	}
	env.Tasks.Go(func() {
		for b := range s.backgrounds() {
			select {
			case <-b.Over(before):
			case <-p.Finishing.Done():
				return
			}
		}
		s.begin(p)
	})
}

func (s *Set) begin(p *Period) {
	p.beginning.Lock()
	defer p.beginning.Unlock()
	if p.Finishing.Err() != nil {
		return
	}
	for b := range s.backgrounds() {
		b.Start(p)
	}
}

func (s *Set) backgrounds() func(yield func(Background) bool) {
	return func(yield func(Background) bool) {
		for _, r := range s.list {
			if b, ok := r.(Background); ok && !yield(b) {
				return
			}
		}
	}
}

// StopAccepting stops taking new work, and closes listeners if last.
func (s *Set) StopAccepting(last bool) {
	for _, r := range s.list {
		r.StopAccepting(last)
	}
}

// Drain ends the work of p, and returns what went wrong. The order is:
//
//   - Contexts end, and with them what runs beside the servers. They end before a Carrier
//     wakes a Read, because a ConnFunc that is woken asks its context why: one that found
//     it going on would go on, or return ErrCarry with nothing draining, and its
//     connection would be in no count.
//   - settle has what is being taken over reach its server before that drains: where
//     nothing can be carried it is finished there as all others are.
//   - All resources drain together.
//   - rest waits for what else may add work.
//   - What others may have added to, such as a Carrier's connections, ends last.
func (s *Set) Drain(ctx context.Context, p *Period, settle func(), rest func() []error) []error {
	p.beginning.Lock()
	p.End()
	for _, r := range slices.Backward(s.list) {
		if b, ok := r.(Background); ok {
			b.End(p)
		}
	}
	p.beginning.Unlock()
	settle()
	errs := s.each(ctx, s.list, func(r Resource) error { return r.Drain(ctx, p) })
	errs = append(errs, rest()...)
	for _, r := range s.list {
		if f, ok := r.(Finisher); ok {
			errs = append(errs, f.Finish(ctx, p))
		}
	}
	return errs
}

// each calls f for all resources at once, and leaves behind what does not return when ctx
// has ended.
func (s *Set) each(ctx context.Context, list []Resource, f func(Resource) error) (errs []error) {
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(list))
	for i, r := range list {
		go func() { results <- result{i, f(r)} }()
	}
	late := make([]bool, len(list))
	for i := range late {
		late[i] = true
	}
	for range list {
		r, ok := Receive(ctx, results)
		if !ok {
			break
		}
		late[r.i] = false
		errs = append(errs, r.err)
	}
	for i, r := range list {
		if late[i] {
			errs = append(errs, fmt.Errorf("handoff: %v: %w: %w", r, report.ErrCut, context.Cause(ctx)))
		}
	}
	return errs
}

// Needs are the needs of all.
func (s *Set) Needs() Needs {
	var all Needs
	for _, r := range s.list {
		n := r.Needs()
		all.Carries = all.Carries || n.Carries
		all.Entries += n.Entries
		all.Leaves = all.Leaves || n.Leaves
		all.Fixed = all.Fixed || n.Fixed
		all.Listeners += n.Listeners
	}
	return all
}

// Counts sums up what resources count by themselves.
func (s *Set) Counts() (finished, cut uint64) {
	for _, r := range s.list {
		if c, ok := r.(Counter); ok {
			f, n := c.Counts()
			finished += f
			cut += n
		}
	}
	return finished, cut
}

// Forget lets go of a period whose drain is over.
func (s *Set) Forget(p *Period) {
	for _, r := range s.list {
		if c, ok := r.(Counter); ok {
			c.Forget(p)
		}
	}
}

// Savers returns those that save, in the order in which they were added.
func (s *Set) Savers() (list []Saver) {
	for _, r := range s.list {
		if v, ok := r.(Saver); ok {
			list = append(list, v)
		}
	}
	return list
}

// adopter returns who goes on with e, or nil.
func (s *Set) adopter(e protocol.Entry) Adopter {
	if a := s.routes[route{e.Kind, e.Name}]; a != nil {
		return a
	}
	if a := s.strays[e.Kind]; a != nil {
		return a
	}
	return s.strays[""]
}

// Early reports whether e is adopted by its payload alone, see Early.
func (s *Set) Early(e protocol.Entry) bool {
	_, early := s.adopter(e).(Early)
	return early
}

// Preview shows an entry that waits in a parcel to an Early.
func (s *Set) Preview(e protocol.Entry) { s.adopter(e).(Early).Preview(e) }

// Judge says what becomes of an entry: one that nobody knows is dropped.
func (s *Set) Judge(e protocol.Entry) protocol.Fate {
	if a := s.adopter(e); a != nil {
		return a.Judge(e)
	}
	return protocol.Drop
}

// Adopt gives an entry to whom it is for, see Adopter. Judge has said Take.
func (s *Set) Adopt(ctx context.Context, e protocol.Entry, it *parcel.Item) error {
	return s.adopter(e).Adopt(ctx, e, it)
}

// Promises returns what the manifest says.
func (s *Set) Promises() (entries []parcel.Entry) {
	for _, r := range s.list {
		if p, ok := r.(Promiser); ok {
			entries = append(entries, p.Promise())
		}
	}
	return entries
}

// Promised shows what a manifest of another generation says, see Promiser.
func (s *Set) Promised(entries []protocol.Entry) error {
	return s.promisers(func(p Promiser) error { return p.Promised(entries) })
}

// CheckPromised returns why this generation must not replace the one before, if so.
func (s *Set) CheckPromised() error {
	return s.promisers(Promiser.CheckPromised)
}

func (s *Set) promisers(f func(Promiser) error) error {
	var errs []error
	for _, r := range s.list {
		if p, ok := r.(Promiser); ok {
			errs = append(errs, f(p))
		}
	}
	return errors.Join(errs...)
}
