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
	p       *period     // for which it takes over
	parcels []*received // to be read
	idle    []*received // left in the store, oldest first
}

// open looks into what was inherited. An error says that this generation must not
// become ready.
func (in *inbox) open(ctx context.Context) error {
	s := in.s
	last := s.readManifest()
	newest := last
	for _, p := range s.inherited(protocol.ParcelPrefix) {
		if in.look(p) {
			in.parcels = append(in.parcels, p)
			newest = max(newest, p.newest)
		}
	}
	if s.generation.Load() <= newest {
		s.generation.Store(newest + 1)
	}
	if err := in.checkPromised(ctx, last); err != nil {
		return err
	}
	in.parcels = in.plan(in.parcels)
	return nil
}

// checkPromised checks whether this program can read what generation last, which may still
// run, will save.
func (in *inbox) checkPromised(ctx context.Context, last uint64) error {
	s := in.s
	err := s.parts.resources.CheckPromised()
	if err == nil || s.intake == nil || in.alone(ctx) {
		return nil
	}
	return fmt.Errorf("handoff: what generation %d will save: %w", last, err)
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
		for _, e := range p.early {
			s.parts.resources.Preview(e.Entry)
		}
		return true
	case errors.Is(err, parcel.ErrFormat) || errors.Is(err, protocol.ErrRecord):
		s.env.Report.Count.Refused.Add(1)
		s.reportf("parcel %q: %w: removed: %w", p.name, ErrUnknown, err)
		in.done(p)
	default: // of a later version, mostly
		s.reportf("parcel %q: %w: left for a later generation: %w", p.name, ErrUnknown, err)
		in.leave(p)
	}
	return false
}

// plan decides what becomes of early entries in parcels, and returns the parcels that are
// to be read. Those with nothing but what waits for a later generation are left as they
// are.
func (in *inbox) plan(parcels []*received) []*received {
	// States come before the connections that may need them, and what is whole
	// before what its writer may take its time for.
	rank := func(p *received) int {
		switch {
		case len(p.early) > 0:
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
		for i := range p.early {
			e := &p.early[i]
			e.fate = in.s.parts.resources.Judge(e.Entry)
			switch e.fate {
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

// run takes over what was inherited, and then what is delivered, for a period, until
// ctx ends. An error is one of State.Load.
func (in *inbox) run(ctx context.Context, p *period) error {
	defer in.close()
	in.p = p
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
		s.env.Report.Count.Refused.Add(1)
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

// readAll reads all parcels, each after the early entries in it were adopted. They
// are still in the parcel meanwhile: if this generation dies in a State.Load, the next
// one finds them there.
func (in *inbox) readAll(ctx context.Context) error {
	for len(in.parcels) > 0 {
		p := in.parcels[0]
		for _, e := range p.early {
			if e.fate != protocol.Take {
				continue
			}
			if err := in.s.parts.resources.Adopt(ctx, e.Entry, nil); err != nil {
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
