package fdstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A reading takes everything out of one parcel.
type reading struct {
	t       *Takeover
	p       *incoming
	rest    *Outgoing      // what waits on for a later generation
	refused map[string]int // connections that nobody here knows, by kind and name
}

// read takes everything out of p, and reports whether it has come to its end. It
// ends with ctx, and what has not been taken by then stays for the next generation.
func (t *Takeover) read(ctx context.Context, p *incoming) (end bool, err error) {
	r := &reading{t: t, p: p, rest: t.Store.NewOutgoing(t.First()), refused: make(map[string]int)}
	defer func() {
		for what, n := range r.refused {
			t.Report.Reportf("%d connections of %s: %w", n, what, report.ErrUnknown)
		}
	}()
	end, err = r.all(ctx)
	if err := r.rest.Close(context.WithoutCancel(ctx)); err != nil {
		t.Report.Reportf("keep for a later generation: %w: %w", report.ErrLost, err)
	}
	if end {
		t.done(p)
	}
	return end, err
}

// all reports whether it has come to the parcel's end. When ctx ends, a parcel
// that is whole and that it has begun to read is read to its end, and passed on:
// half a parcel is what a generation leaves that has died.
func (r *reading) all(ctx context.Context) (bool, error) {
	limit := backoff{report: r.t.Report}
	receiving := ctx
	begun := slices.ContainsFunc(r.p.early, func(s early) bool { return s.fate == protocol.Take })
	for {
		items, err := r.p.reader.Receive(receiving)
		switch {
		case err == nil:
			begun = true
			var failed error
			for _, it := range items {
				failed = errors.Join(failed, r.take(ctx, it))
			}
			if failed != nil {
				return false, failed
			}
		case ctx.Err() != nil && receiving == ctx:
			if !begun || !r.p.complete || r.p.others > 0 && !r.t.sendsOn() {
				return false, nil
			}
			receiving = context.WithoutCancel(ctx)
		case report.Limited(err) && ctx.Err() == nil:
			limit.wait(ctx, err)
		case err == io.EOF:
			return true, nil
		case errors.Is(err, parcel.ErrTaken):
			// By a generation that died, or by one that drained while the writer went on.
			r.t.Report.Reportf("parcel %q: read in part by a generation before: %w", r.p.name, err)
			return true, nil
		case errors.Is(err, parcel.ErrTruncated):
			r.t.Report.Reportf("parcel %q: %w: %w", r.p.name, report.ErrLost, err)
			return true, nil
		default:
			r.t.Report.Count.Refused.Add(1)
			r.t.Report.Reportf("parcel %q: %w: the rest is left in the store: %w", r.p.name, report.ErrLost, err)
			return false, nil
		}
	}
}

// take hands one item to whom it is for. An error is one of State.Load.
func (r *reading) take(ctx context.Context, it *parcel.Item) error {
	rec, err := protocol.ParseRecord(it.Payload)
	if err != nil {
		r.refuse(it, err)
		return nil
	}
	e := protocol.Entry{Kind: it.Kind, Name: it.Name, Record: rec}
	if e.Kind == protocol.KindGeneration {
		return it.Close()
	}
	if r.t.Registry.Early(e) {
		return r.early(ctx, it, e)
	}
	switch r.t.Registry.Judge(e) {
	case protocol.Take:
		if err := r.t.Registry.Adopt(ctx, e, it); err != nil {
			r.refuse(it, err)
		}
	case protocol.Keep:
		r.keep(it)
	default:
		r.t.Report.Count.Refused.Add(1)
		r.refused[it.Kind+" "+it.Name]++
		return it.Close()
	}
	return nil
}

func (r *reading) refuse(it *parcel.Item, err error) {
	it.Close()
	r.t.Report.Count.Refused.Add(1)
	r.t.Report.Reportf("parcel %q: %s %q: %w: %w", r.p.name, it.Kind, it.Name, report.ErrLost, err)
}

// keep puts an item back into the store.
func (r *reading) keep(it *parcel.Item) {
	err := r.rest.Put(context.Background(), it.Entry(), func(err error) {
		if err != nil {
			r.refuse(it, err)
		}
		it.Close()
	})
	if err != nil {
		r.refuse(it, err)
	}
}

// early deals with an early entry. Most have been adopted by now, out of the parcel; one
// that came after the look into it has not.
func (r *reading) early(ctx context.Context, it *parcel.Item, e protocol.Entry) error {
	fate, known := protocol.Drop, false
	for _, seen := range r.p.early {
		if seen.Kind == e.Kind && seen.Name == e.Name && seen.Generation == e.Generation {
			fate, known = seen.fate, true
		}
	}
	if !known {
		r.t.Registry.Preview(e)
		fate = r.t.Registry.Judge(e)
	}
	if fate == protocol.Keep {
		r.keep(it)
		return nil
	}
	it.Close()
	if known || fate == protocol.Drop {
		return nil
	}
	e.Data = bytes.Clone(e.Data)
	return r.t.Registry.Adopt(ctx, e, nil)
}
