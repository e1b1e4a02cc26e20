package handoff

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A reading takes everything out of one parcel.
type reading struct {
	s       *Service
	e       *epoch
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
		e:       in.e,
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
	begun := slices.ContainsFunc(r.p.states, func(s savedState) bool { return s.fate == protocol.Take })
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
			if !begun || !r.p.complete || r.p.conns > 0 && r.e.out.Load() == nil {
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
			r.s.reporter.Count.Refused.Add(1)
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
	switch it.Kind {
	case protocol.KindGeneration:
		return it.Close()
	case protocol.KindState:
		return r.state(ctx, it, rec)
	case protocol.KindHTTP:
		if h, g := r.s.httpFor(it.Name); h != nil {
			r.http(it, rec, h, g)
			return nil
		}
	case protocol.KindConn:
		if k := r.s.carriers[it.Name]; k != nil {
			r.conn(ctx, it, rec, k)
			return nil
		}
	}
	if r.s.keeps(it.Kind, rec) {
		r.keep(it)
		return nil
	}
	r.s.reporter.Count.Refused.Add(1)
	r.refused[it.Kind+" "+it.Name]++
	return it.Close()
}

func (r *reading) refuse(it *parcel.Item, err error) {
	it.Close()
	r.s.reporter.Count.Refused.Add(1)
	r.s.reportf("parcel %q: %s %q: %w: %w", r.p.name, it.Kind, it.Name, ErrLost, err)
}

// keep puts an item back into the store.
func (r *reading) keep(it *parcel.Item) {
	err := r.rest.put(context.Background(), it.Entry(), func(err error) {
		if err != nil {
			r.refuse(it, err)
		}
		it.Close()
	})
	if err != nil {
		r.refuse(it, err)
	}
}

// state deals with a saved state. Most have been loaded by now, out of the
// parcel; one that came after the look into it has not.
func (r *reading) state(ctx context.Context, it *parcel.Item, rec protocol.Record) error {
	saved := savedState{Entry: protocol.Entry{Kind: protocol.KindState, Name: it.Name, Record: rec}}
	known := false
	for _, s := range r.p.states {
		if s.Name == saved.Name && s.Generation == saved.Generation {
			saved.fate, known = s.fate, true
		}
	}
	if !known {
		saved.fate = r.in.judge(saved, saved.Generation)
	}
	if saved.fate == protocol.Keep {
		r.keep(it)
		return nil
	}
	it.Close()
	if known || saved.fate == protocol.Drop {
		return nil
	}
	saved.Data = bytes.Clone(saved.Data)
	return r.s.load(ctx, saved)
}

func (r *reading) http(it *parcel.Item, rec protocol.Record, h *httpServer, g *gate) {
	defer it.Close()
	c, err := it.Conn(0)
	if err != nil {
		r.refuse(it, err)
		return
	}
	switch err := h.tracker.Adopt(g, c, rec.Unread); {
	case err == nil:
		r.s.reporter.CountCarriedIn()
	case errors.Is(err, http.ErrServerClosed):
		r.passOn(it, c, rec)
	default:
		c.Close()
		r.refuse(it, err)
	}
}

func (r *reading) conn(ctx context.Context, it *parcel.Item, rec protocol.Record, k *Carrier) {
	defer it.Close()
	c, err := it.NetConn(0)
	if err != nil {
		r.refuse(it, err)
		return
	}
	slot := k.take(ctx) == nil
	if !slot && r.e.out.Load() != nil {
		r.passOn(it, c, rec)
		return
	}
	r.s.reporter.CountCarriedIn()
	k.adopt(c, rec, slot)
}

// passOn leaves a connection that this generation has no time for to the next.
func (r *reading) passOn(it *parcel.Item, c net.Conn, rec protocol.Record) {
	r.s.reporter.CountCarriedIn()
	r.e.carryOrLose(it.Kind, it.Name, c, rec)
}

// An unreadConn is a connection of which something was read before it was
// carried.
type unreadConn struct {
	net.Conn
	unread []byte
}

func (c *unreadConn) Read(p []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(p, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// NetConn returns the socket below.
func (c *unreadConn) NetConn() net.Conn { return c.Conn }
