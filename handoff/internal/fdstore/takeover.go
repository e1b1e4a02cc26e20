package fdstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// maxKept bounds how many parcels wait in the store for a later generation. The
// oldest are given up first.
const maxKept = 8

// A Registry knows what goes on with entries. *resource.Set is one.
type Registry interface {
	// Early reports whether e is adopted by its payload, before anything is taken out
	// of its parcel. Preview shows such an entry: all that wait are shown before one of
	// them is judged.
	Early(e protocol.Entry) bool
	Preview(e protocol.Entry)

	// Judge says what becomes of e, and takes nothing.
	Judge(e protocol.Entry) protocol.Fate

	// Adopt takes e over, with its descriptors in it; it is nil where e is early. The
	// error of an early entry is fatal, another says that the entry is lost.
	Adopt(ctx context.Context, e protocol.Entry, it *parcel.Item) error

	// Promised shows what a manifest says, and CheckPromised returns why this
	// generation must not replace the one before, if so.
	Promised(entries []protocol.Entry) error
	CheckPromised() error
}

// A Takeover takes over what came to this generation. One goroutine uses it at a time:
// first Run's, which looks, then its own, which reads. Its fields are set before.
type Takeover struct {
	Inherited  *activation.Set
	Store      *Store
	Deliveries *Deliveries
	Registry   Registry
	Report     *report.Reporter
	First      func() parcel.Entry   // begins every parcel
	Own        func(context.Context) // is called when everything is this generation's
	Rotation   func(left bool)       // is called when the manager takes the service out, or brings it back
	Ready      func() bool           // READY=1 was sent

	sendsOn func() bool // what is not finished here goes to the next generation
	parcels []*incoming // to be read
	idle    []*incoming // left in the store, oldest first
}

// Look looks into what was inherited, and returns the latest generation in it. setNumber
// is called with it, before anything is decided. An error says that this generation must
// not become ready.
func (t *Takeover) Look(ctx context.Context, setNumber func(newest uint64)) error {
	last := t.readManifests()
	newest := last
	for _, p := range t.inherited(protocol.ParcelPrefix) {
		if t.look(p) {
			t.parcels = append(t.parcels, p)
			newest = max(newest, p.newest)
		}
	}
	setNumber(newest)
	if err := t.checkPromised(ctx, last); err != nil {
		return err
	}
	t.parcels = t.plan(t.parcels)
	return nil
}

// Empty reports whether nothing is to be read of what was inherited.
func (t *Takeover) Empty() bool { return len(t.parcels) == 0 }

// checkPromised checks whether this program can read what generation last, which may still
// run, will save.
func (t *Takeover) checkPromised(ctx context.Context, last uint64) error {
	err := t.Registry.CheckPromised()
	if err == nil || t.Deliveries.intake == nil || t.alone(ctx) {
		return nil
	}
	return fmt.Errorf("handoff: what generation %d will save: %w", last, err)
}

// alone reports whether the manager says at once that no other generation holds
// anything: one that was started in the place of a generation that died.
func (t *Takeover) alone(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	d, err := t.Deliveries.next(ctx)
	if err != nil {
		return err == io.EOF
	}
	t.Deliveries.putBack(d)
	return d.Owned
}

// look looks into p, and reports whether there is something to be done with it.
func (t *Takeover) look(p *incoming) bool {
	empty, err := parcel.Drained(p.file)
	if err == nil && empty {
		t.done(p) // its reader died right after the last entry
		return false
	}
	if err == nil {
		err = t.inspect(p)
	}
	switch {
	case err == nil:
		for _, e := range p.early {
			t.Registry.Preview(e.Entry)
		}
		return true
	case errors.Is(err, parcel.ErrFormat) || errors.Is(err, protocol.ErrRecord):
		t.Report.Count.Refused.Add(1)
		t.Report.Reportf("parcel %q: %w: removed: %w", p.name, report.ErrUnknown, err)
		t.done(p)
	default: // of a later version, mostly
		t.Report.Reportf("parcel %q: %w: left for a later generation: %w", p.name, report.ErrUnknown, err)
		t.leave(p)
	}
	return false
}

// plan decides what becomes of early entries in parcels, and returns the parcels that are
// to be read. Those with nothing but what waits for a later generation are left as they
// are.
func (t *Takeover) plan(parcels []*incoming) []*incoming {
	// States come before the connections that may need them, and what is whole
	// before what its writer may take its time for.
	rank := func(p *incoming) int {
		switch {
		case len(p.early) > 0:
			return 0
		case p.complete:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(parcels, func(a, b *incoming) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.newest, b.newest))
	})
	var read []*incoming
	for _, p := range parcels {
		for i := range p.early {
			e := &p.early[i]
			e.fate = t.Registry.Judge(e.Entry)
			switch e.fate {
			case protocol.Take:
				p.wanted++
			case protocol.Keep:
				p.kept++
			}
		}
		if p.complete && p.wanted == 0 && p.kept > 0 {
			t.leave(p)
		} else {
			read = append(read, p)
		}
	}
	return read
}

// leave leaves p in the store. The oldest of too many is given up.
func (t *Takeover) leave(p *incoming) {
	p.close()
	t.idle = append(t.idle, p)
	if len(t.idle) <= maxKept {
		return
	}
	i := 0
	for j, p := range t.idle {
		if p.newest < t.idle[i].newest {
			i = j
		}
	}
	oldest := t.idle[i]
	t.idle = slices.Delete(t.idle, i, i+1)
	t.Report.Reportf("parcel %q of generation %d: %w: more than %d wait in the store", oldest.name, oldest.newest, report.ErrLost, maxKept)
	t.done(oldest)
}

// done lets go of p, from which everything has been taken that is of use.
func (t *Takeover) done(p *incoming) {
	p.close()
	ctx := context.Background()
	switch {
	case p.delivery != 0:
		ctx, cancel := context.WithTimeout(ctx, ExchangeTimeout)
		defer cancel()
		t.Report.Report(t.Deliveries.intake.Taken(ctx, p.delivery))
	case t.Ready():
		t.Report.Report(t.Store.Remove(ctx, p.name))
	default:
		t.Store.RemoveLater(p.name)
	}
}

// Run takes over what was inherited, and then what is delivered, until ctx ends. An error
// is one of Registry.Adopt. sendsOn reports whether what is not finished in this period
// goes to the next generation. It is called again for the next period.
func (t *Takeover) Run(ctx context.Context, sendsOn func() bool) error {
	defer t.Close()
	t.sendsOn = sendsOn
	if err := t.readAll(ctx); err != nil || len(t.parcels) > 0 {
		return err
	}
	if t.Deliveries.intake == nil {
		t.Own(ctx)
		return nil
	}
	for ctx.Err() == nil {
		d, err := t.Deliveries.next(ctx)
		switch {
		case err == nil && d.Owned:
			t.Own(ctx)
		case err == nil && (d.Quiesce || d.Rejoin):
			t.Rotation(d.Quiesce)
		case err == nil:
			if err := t.deliver(ctx, d); err != nil {
				return err
			}
		case ctx.Err() == nil:
			t.Own(ctx) // nobody delivers any more, nor says so
			return nil
		}
	}
	return nil
}

// deliver takes over one delivery.
func (t *Takeover) deliver(ctx context.Context, d *parcel.Delivery) error {
	p := &incoming{name: d.Name, file: d.Files[0], delivery: d.ID}
	for _, f := range d.Files[1:] {
		f.Close()
	}
	if strings.HasPrefix(d.Name, protocol.ManifestPrefix) {
		// It is for those that start.
		t.Store.manifest.found(d.Name)
		p.close()
		return nil
	}
	if !strings.HasPrefix(d.Name, protocol.ParcelPrefix) || len(d.Files) != 1 {
		t.Report.Count.Refused.Add(1)
		t.Report.Reportf("delivery of %d descriptors called %q: %w", len(d.Files), d.Name, report.ErrUnknown)
		t.done(p)
		return nil
	}
	if !t.look(p) {
		return nil
	}
	t.parcels = t.plan([]*incoming{p})
	return t.readAll(ctx)
}

// readAll reads all parcels, each after the early entries in it were adopted. They
// are still in the parcel meanwhile: if this generation dies in a State.Load, the next
// one finds them there.
func (t *Takeover) readAll(ctx context.Context) error {
	for len(t.parcels) > 0 {
		p := t.parcels[0]
		for _, e := range p.early {
			if e.fate != protocol.Take {
				continue
			}
			if err := t.Registry.Adopt(ctx, e.Entry, nil); err != nil {
				return err
			}
		}
		if end, err := t.read(ctx, p); err != nil || !end && ctx.Err() != nil {
			return err
		}
		p.close()
		t.parcels = t.parcels[1:]
	}
	return nil
}

// Close lets go of what was not read: the newest generation goes on with it.
func (t *Takeover) Close() {
	for _, p := range t.parcels {
		p.close()
	}
	t.parcels = nil
}

// A backoff waits for a limit to ease, and reports it once.
type backoff struct {
	report *report.Reporter
	pause  time.Duration
}

func (b *backoff) wait(ctx context.Context, err error) {
	if b.pause == 0 {
		b.report.Reportf("waiting for room: %w", err)
		b.pause = 5 * time.Millisecond
	}
	b.pause = min(2*b.pause, time.Second)
	select {
	case <-time.After(b.pause):
	case <-ctx.Done():
	}
}
