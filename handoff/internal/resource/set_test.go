package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/internal/rotation"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// A diary is what happened, in its order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) is(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(d.lines, "\n\t"), strings.Join(want, "\n\t"))
	}
	d.lines = nil
}

// A fake notes what it is told.
type fake struct {
	*diary
	name  string
	drain func(ctx context.Context) error
	needs Needs
}

func (f *fake) Start(*Period) { f.note("start %s", f.name) }

func (f *fake) StopAccepting(last bool) { f.note("stop %s, last: %v", f.name, last) }

func (f *fake) Drain(ctx context.Context, _ *Period) error {
	f.note("drain %s", f.name)
	if f.drain != nil {
		return f.drain(ctx)
	}
	return nil
}

func (f *fake) Needs() Needs { return f.needs }

func (f *fake) String() string { return f.name }

// A fakeFinisher ends last.
type fakeFinisher struct{ fake }

func (f *fakeFinisher) Finish(context.Context, *Period) error {
	f.note("finish %s", f.name)
	return nil
}

// A fakeBackground runs beside the servers.
type fakeBackground struct {
	fake
	over map[*Period]chan struct{}
}

func (f *fakeBackground) Start(p *Period) {
	f.fake.Start(p)
	f.over[p] = make(chan struct{})
}

func (f *fakeBackground) End(*Period) { f.note("end %s", f.name) }

func (f *fakeBackground) Over(p *Period) <-chan struct{} { return f.over[p] }

func testEnv() *Env {
	return &Env{
		Report:     report.New(nil),
		Generation: func() uint64 { return 3 },
		Leaving:    func() bool { return false },
		Stores:     func() bool { return true },
		Owned:      make(chan struct{}),
		Rotation:   new(rotation.Membership),
		Announce:   func(context.Context) {},
	}
}

// TestDrainOrder: what feeds the others ends first, and what they may add to ends last.
func TestDrainOrder(t *testing.T) {
	d := new(diary)
	var s Set
	s.Add(&fakeFinisher{fake{diary: d, name: "carrier"}})
	s.Add(&fakeBackground{fake{diary: d, name: "packet"}, make(map[*Period]chan struct{})})
	s.Add(&fakeBackground{fake{diary: d, name: "funcs"}, make(map[*Period]chan struct{})})
	s.Freeze()
	p := NewPeriod()
	s.Serve(p)
	d.is(t, "start carrier")
	s.Begin(testEnv(), p, nil)
	d.is(t, "start packet", "start funcs")
	s.StopAccepting(true)
	d.is(t, "stop carrier, last: true", "stop packet, last: true", "stop funcs, last: true")
	failed := errors.New("failed")
	errs := s.Drain(t.Context(), p, func() {
		if p.Carrying.Err() == nil || p.Finishing.Err() == nil {
			t.Error("a context of the period has not ended")
		}
		d.is(t, "end funcs", "end packet")
	}, func() []error {
		d.mu.Lock()
		slices.Sort(d.lines) // they drain together
		d.mu.Unlock()
		d.is(t, "drain carrier", "drain funcs", "drain packet")
		return []error{failed}
	})
	d.is(t, "finish carrier")
	if err := errors.Join(errs...); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

// TestDrainLate: who does not mind the context is left behind, and named.
func TestDrainLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(diary)
		release := make(chan struct{})
		defer close(release)
		var s Set
		s.Add(&fake{diary: d, name: "stubborn", drain: func(context.Context) error { <-release; return nil }})
		s.Add(&fake{diary: d, name: "slow", drain: func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(afterCut / 2)
			return nil
		}})
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("a minute has passed"))
		defer cancel()
		errs := s.Drain(ctx, NewPeriod(), func() {}, func() []error { return nil })
		err := errors.Join(errs...)
		if !errors.Is(err, report.ErrCut) || err.Error() != "handoff: stubborn: "+report.ErrCut.Error()+": a minute has passed" {
			t.Errorf("got %v", err)
		}
	})
}

// TestBegin: what runs beside the servers runs in one period at a time, and not in one
// that is over by then.
func TestBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(diary)
		b := &fakeBackground{fake{diary: d, name: "funcs"}, make(map[*Period]chan struct{})}
		env := testEnv()
		var s Set
		s.Add(b)
		first, second, third := NewPeriod(), NewPeriod(), NewPeriod()
		s.Begin(env, first, nil)
		s.Begin(env, second, first)
		s.Begin(env, third, first)
		synctest.Wait()
		d.is(t, "start funcs")
		third.End()
		synctest.Wait()
		close(b.over[first])
		env.Tasks.Wait()
		d.is(t, "start funcs")
		if b.over[second] == nil || b.over[third] != nil {
			t.Error("the wrong period has begun")
		}
	})
}

// TestFrozen: whoever adds to a Set that is read without a lock is told.
func TestFrozen(t *testing.T) {
	for what, add := range map[string]func(*Set){
		"Add":   func(s *Set) { s.Add(&fake{}) },
		"Route": func(s *Set) { s.Route("k", "n", Strays(0)) },
		"Stray": func(s *Set) { s.Stray("k", Strays(0)) },
	} {
		var s Set
		add(&s)
		s.Freeze()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", what)
				}
			}()
			add(&s)
		}()
	}
}

func TestNeeds(t *testing.T) {
	var s Set
	if n := s.Needs(); n != (Needs{}) {
		t.Errorf("of none: %+v", n)
	}
	s.Add(&fake{needs: Needs{Carries: true, Entries: 1, Listeners: 2}})
	s.Add(&fake{needs: Needs{Leaves: true, Fixed: true, Entries: 2, Listeners: 1}})
	if n := s.Needs(); n != (Needs{Carries: true, Entries: 3, Leaves: true, Fixed: true, Listeners: 3}) {
		t.Errorf("got %+v", n)
	}
}

// An adopter takes everything, and notes it.
type adopter struct{ *diary }

func (a adopter) Judge(protocol.Entry) protocol.Fate { return protocol.Take }

func (a adopter) Adopt(_ context.Context, e protocol.Entry, _ *parcel.Item) error {
	a.note("adopt %s %s", e.Kind, e.Name)
	return nil
}

// TestRoutes: an entry goes to whom it is for, and what is for nobody may wait.
func TestRoutes(t *testing.T) {
	d := new(diary)
	var s Set
	if !s.Route("conn", "chat", adopter{d}) || s.Route("conn", "chat", adopter{nil}) {
		t.Error("a route is taken, or was taken over")
	}
	s.Stray("", Strays(time.Hour))
	s.Stray(protocol.KindState, StrayStates{testEnv(), time.Hour})
	fresh, old := protocol.Record{Saved: time.Now()}, protocol.Record{Saved: time.Now().Add(-2 * time.Hour)}
	for _, c := range []struct {
		e     protocol.Entry
		want  protocol.Fate
		early bool
	}{
		{protocol.Entry{Kind: "conn", Name: "chat", Record: old}, protocol.Take, false},
		{protocol.Entry{Kind: "conn", Name: "echo", Record: fresh}, protocol.Keep, false},
		{protocol.Entry{Kind: "conn", Name: "echo", Record: old}, protocol.Drop, false},
		{protocol.Entry{Kind: "quic", Name: "chat", Record: fresh}, protocol.Keep, false},
		{protocol.Entry{Kind: protocol.KindState, Name: "chat", Record: fresh}, protocol.Keep, true},
		{protocol.Entry{Kind: protocol.KindState, Name: "chat", Record: old}, protocol.Drop, true},
	} {
		if fate, early := s.Judge(c.e), s.Early(c.e); fate != c.want || early != c.early {
			t.Errorf("%s %s of %v: %v, early: %v, want %v", c.e.Kind, c.e.Name, c.e.Saved, fate, early, c.want)
		}
	}
	if err := s.Adopt(t.Context(), protocol.Entry{Kind: "conn", Name: "chat"}, nil); err != nil {
		t.Error(err)
	}
	d.is(t, "adopt conn chat")
}
