package handoff

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
	s       *Service
	period  *period
	in      *inbox
	p       *received
	rest    *outbox        // what waits on for a later generation
	refused map[string]int // connections that nobody here knows, by kind and name
}

// read takes everything out of p, and reports whether it has come to its end. It
// ends with ctx, and what has not been taken by then stays for the next generation.
func (in *inbox) read(ctx context.Context, p *received) (end bool, err error) {
	s := in.s
	r := &reading{
		s:       s,
		period:  in.p,
		in:      in,
		p:       p,
		rest:    &outbox{store: &s.store, first: s.firstEntry()},
		refused: make(map[string]int),
	}
	defer func() {
		for what, n := range r.refused {
			s.reportf("%d connections of %s: %w", n, what, ErrUnknown)
		}
	}()
	end, err = r.all(ctx)
	if err := r.rest.close(context.WithoutCancel(ctx)); err != nil {
		s.reportf("keep for a later generation: %w: %w", ErrLost, err)
	}
	if end {
		in.done(p)
	}
	return end, err
}

// all reports whether it has come to the parcel's end. When ctx ends, a parcel
// that is whole and that it has begun to read is read to its end, and passed on:
// half a parcel is what a generation leaves that has died.
func (r *reading) all(ctx context.Context) (bool, error) {
	limit := backoff{s: r.s}
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
			if !begun || !r.p.complete || r.p.others > 0 && r.period.Out() == nil {
				return false, nil
			}
			receiving = context.WithoutCancel(ctx)
		case report.Limited(err) && ctx.Err() == nil:
			limit.wait(ctx, err)
		case err == io.EOF:
			return true, nil
		case errors.Is(err, parcel.ErrTaken):
			// By a generation that died, or by one that drained while the writer went on.
			r.s.reportf("parcel %q: read in part by a generation before: %w", r.p.name, err)
			return true, nil
		case errors.Is(err, parcel.ErrTruncated):
			r.s.reportf("parcel %q: %w: %w", r.p.name, ErrLost, err)
			return true, nil
		default:
			r.s.env.Report.Count.Refused.Add(1)
			r.s.reportf("parcel %q: %w: the rest is left in the store: %w", r.p.name, ErrLost, err)
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
	resources := &r.s.parts.resources
	if e.Kind == protocol.KindGeneration {
		return it.Close()
	}
	if resources.Early(e) {
		return r.early(ctx, it, e)
	}
	switch resources.Judge(e) {
	case protocol.Take:
		if err := resources.Adopt(ctx, e, it); err != nil {
			r.refuse(it, err)
		}
	case protocol.Keep:
		r.keep(it)
	default:
		r.s.env.Report.Count.Refused.Add(1)
		r.refused[it.Kind+" "+it.Name]++
		return it.Close()
	}
	return nil
}

func (r *reading) refuse(it *parcel.Item, err error) {
	it.Close()
	r.s.env.Report.Count.Refused.Add(1)
	r.s.reportf("parcel %q: %s %q: %w: %w", r.p.name, it.Kind, it.Name, ErrLost, err)
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
		r.s.parts.resources.Preview(e)
		fate = r.s.parts.resources.Judge(e)
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
	return r.s.parts.resources.Adopt(ctx, e, nil)
}
