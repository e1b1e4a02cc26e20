package handoff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// An inbox takes over what came to this generation. One goroutine uses it at a
// time: first Run's, then its own.
type inbox struct {
	s       *Service
	mail    *mailbox
	e       *epoch      // for which it takes over
	parcels []*received // to be read
	idle    []*received // left in the store, oldest first
}

// open looks into what was inherited. An error says that this generation must not
// become ready.
func (in *inbox) open(ctx context.Context) error {
	s := in.s
	last := s.readManifest()
	newest := last.generation
	for _, p := range s.inherited(protocol.ParcelPrefix) {
		if in.look(p) {
			in.parcels = append(in.parcels, p)
			newest = max(newest, p.newest)
		}
	}
	if s.generation.Load() <= newest {
		s.generation.Store(newest + 1)
	}
	if err := in.foresee(ctx, last); err != nil {
		return err
	}
	in.parcels = in.plan(in.parcels)
	return nil
}

// foresee checks whether this program can read what a generation that still runs
// will save.
func (in *inbox) foresee(ctx context.Context, last promise) error {
	s := in.s
	var errs []error
	for name, version := range last.states {
		st := s.states[name]
		if st == nil || st.Unreadable != Refuse {
			continue
		}
		saved := func(p *received) bool {
			return slices.ContainsFunc(p.states, func(s savedState) bool { return s.Name == name && s.Generation >= last.generation })
		}
		if !slices.ContainsFunc(in.parcels, saved) {
			errs = append(errs, st.accepts(version))
		}
	}
	err := errors.Join(errs...)
	if err == nil || s.intake == nil || in.alone(ctx) {
		return nil
	}
	return fmt.Errorf("handoff: what generation %d will save: %w", last.generation, err)
}

// alone reports whether the manager says at once that no other generation holds
// anything: one that was started in the place of a generation that died.
func (in *inbox) alone(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	d, err := in.mail.next(ctx)
	if err != nil {
		return err == io.EOF
	}
	in.mail.putBack(d)
	return d.Owned
}

// look looks into p, and reports whether there is something to be done with it.
func (in *inbox) look(p *received) bool {
	s := in.s
	empty, err := parcel.Drained(p.file)
	if err == nil && empty {
		in.done(p) // its reader died right after the last entry
		return false
	}
	if err == nil {
		err = s.inspect(p)
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, parcel.ErrFormat) || errors.Is(err, protocol.ErrRecord):
		s.reporter.Count.Refused.Add(1)
		s.reportf("parcel %q: %w: removed: %w", p.name, ErrUnknown, err)
		in.done(p)
	default: // of a later version, mostly
		s.reportf("parcel %q: %w: left for a later generation: %w", p.name, ErrUnknown, err)
		in.leave(p)
	}
	return false
}

// plan decides what becomes of the states in parcels, and returns the parcels
// that are to be read. Those with nothing but what waits for a later generation
// are left as they are.
func (in *inbox) plan(parcels []*received) []*received {
	best := make(map[string]uint64)
	for _, p := range parcels {
		for _, saved := range p.states {
			if st := in.s.states[saved.Name]; st != nil && st.accepts(saved.Version) == nil {
				best[saved.Name] = max(best[saved.Name], saved.Generation)
			}
		}
	}
	// States come before the connections that may need them, and what is whole
	// before what its writer may take its time for.
	rank := func(p *received) int {
		switch {
		case len(p.states) > 0:
			return 0
		case p.complete:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(parcels, func(a, b *received) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.newest, b.newest))
	})
	var read []*received
	for _, p := range parcels {
		for i := range p.states {
			saved := &p.states[i]
			saved.fate = in.judge(*saved, best[saved.Name])
			switch saved.fate {
			case protocol.Take:
				p.wanted++
			case protocol.Keep:
				p.kept++
			}
		}
		if p.complete && p.wanted == 0 && p.kept > 0 {
			in.leave(p)
		} else {
			read = append(read, p)
		}
	}
	return read
}

// judge decides on a saved state; best is the last generation that saved one of
// that name which can be read.
func (in *inbox) judge(saved savedState, best uint64) protocol.Fate {
	s := in.s
	st := s.states[saved.Name]
	err := fmt.Errorf("state %q: %w", saved.Name, ErrUnknown)
	if st != nil {
		err = st.accepts(saved.Version)
	}
	switch {
	case err != nil:
	case st.kept.Load():
		if saved.Generation > s.generation.Load() {
			s.reportf("state %q of generation %d, which has failed: %w: this generation goes on with its own", saved.Name, saved.Generation, ErrLost)
		}
		return protocol.Drop
	case st.loaded.Load() || saved.Generation < best:
		s.reporter.Count.Refused.Add(1)
		s.reportf("state %q of generation %d: %w: a later one was there", saved.Name, saved.Generation, ErrLost)
		return protocol.Drop
	default:
		return protocol.Take
	}
	s.reporter.Count.Refused.Add(1)
	if s.keeps(protocol.KindState, saved.Record) && (st == nil || st.Unreadable != Drop) {
		s.reportf("kept for a later generation, until %v: %w", saved.Saved.Add(s.o.KeepStates).Format(time.RFC3339), err)
		return protocol.Keep
	}
	s.reportf("dropped: %w", err)
	return protocol.Drop
}

// leave leaves p in the store. The oldest of too many is given up.
func (in *inbox) leave(p *received) {
	p.close()
	in.idle = append(in.idle, p)
	if len(in.idle) <= maxKept {
		return
	}
	i := 0
	for j, p := range in.idle {
		if p.newest < in.idle[i].newest {
			i = j
		}
	}
	oldest := in.idle[i]
	in.idle = slices.Delete(in.idle, i, i+1)
	in.s.reportf("parcel %q of generation %d: %w: more than %d wait in the store", oldest.name, oldest.newest, ErrLost, maxKept)
	in.done(oldest)
}

// done lets go of p, from which everything has been taken that is of use.
func (in *inbox) done(p *received) {
	s := in.s
	p.close()
	ctx := context.Background()
	switch {
	case p.delivery != 0:
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		s.report(s.intake.Taken(ctx, p.delivery))
	case s.ready.Load():
		s.report(s.store.remove(ctx, p.name))
	default:
		s.changes.remove(p.name)
	}
}

// run takes over what was inherited, and then what is delivered, for an epoch, until
// ctx ends. An error is one of State.Load.
func (in *inbox) run(ctx context.Context, e *epoch) error {
	defer in.close()
	in.e = e
	if err := in.readAll(ctx); err != nil || len(in.parcels) > 0 {
		return err
	}
	if in.s.intake == nil {
		in.s.own(ctx)
		return nil
	}
	for ctx.Err() == nil {
		d, err := in.mail.next(ctx)
		switch {
		case err == nil && d.Owned:
			in.s.own(ctx)
		case err == nil && (d.Quiesce || d.Rejoin):
			in.s.rotation.Tell(d.Quiesce)
		case err == nil:
			if err := in.deliver(ctx, d); err != nil {
				return err
			}
		case ctx.Err() == nil:
			in.s.own(ctx) // nobody delivers any more, nor says so
			return nil
		}
	}
	return nil
}

// deliver takes over one delivery.
func (in *inbox) deliver(ctx context.Context, d *parcel.Delivery) error {
	s := in.s
	p := &received{name: d.Name, file: d.Files[0], delivery: d.ID}
	for _, f := range d.Files[1:] {
		f.Close()
	}
	if strings.HasPrefix(d.Name, protocol.ManifestPrefix) {
		// It is for those that start.
		s.manifest.found(d.Name)
		p.close()
		return nil
	}
	if !strings.HasPrefix(d.Name, protocol.ParcelPrefix) || len(d.Files) != 1 {
		s.reporter.Count.Refused.Add(1)
		s.reportf("delivery of %d descriptors called %q: %w", len(d.Files), d.Name, ErrUnknown)
		in.done(p)
		return nil
	}
	if !in.look(p) {
		return nil
	}
	in.parcels = in.plan([]*received{p})
	return in.readAll(ctx)
}

// readAll reads all parcels, each after the states in it were loaded. They are
// still in the parcel meanwhile: if this generation dies in a Load, the next one
// finds them there.
func (in *inbox) readAll(ctx context.Context) error {
	for len(in.parcels) > 0 {
		p := in.parcels[0]
		for _, saved := range p.states {
			if saved.fate != protocol.Take {
				continue
			}
			if err := in.s.load(ctx, saved); err != nil {
				return err
			}
		}
		if end, err := in.read(ctx, p); err != nil || !end && ctx.Err() != nil {
			return err
		}
		p.close()
		in.parcels = in.parcels[1:]
	}
	return nil
}

// close lets go of what was not read: the newest generation goes on with it.
func (in *inbox) close() {
	for _, p := range in.parcels {
		p.close()
	}
	in.parcels = nil
}

// A backoff waits for a limit to ease, and reports it once.
type backoff struct {
	s     *Service
	pause time.Duration
}

func (b *backoff) wait(ctx context.Context, err error) {
	if b.pause == 0 {
		b.s.reportf("waiting for room: %w", err)
		b.pause = 5 * time.Millisecond
	}
	b.pause = min(2*b.pause, time.Second)
	select {
	case <-time.After(b.pause):
	case <-ctx.Done():
	}
}
