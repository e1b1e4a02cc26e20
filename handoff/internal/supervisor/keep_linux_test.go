package supervisor

import (
	"context"
	"strconv"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestDeafGeneration: where a generation does not take what it is delivered, nobody
// waits for it again before it does.
func TestDeafGeneration(t *testing.T) {
	leaktest.Check(t)
	const many = 600 // more than go in at once
	s, err := newSupervisor(Options{Program: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	s.setManager(nil)
	s.manager.Restore(manager.State{})
	defer s.manager.Close()
	p := &instance{number: 1}
	d, child, err := parcel.NewDeliverer()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p.deliverer = d
	intake, err := parcel.NewIntake(child)
	if err != nil {
		t.Fatal(err)
	}
	defer intake.Close()
	child.Close()
	s.instances[1] = p
	s.store.limit, s.store.target = many+1, 1
	for i := range many {
		if !s.store.add(newEntry(strconv.Itoa(i), memfd(t), 0)) {
			t.Fatal("not stored")
		}
	}
	delivered := func() (n int) {
		for _, e := range s.store.entries {
			n += len(e.holders)
		}
		return n
	}
	s.route()
	before := delivered()
	if !p.deaf || before == 0 || before == many {
		t.Fatalf("deaf %v after %d of %d deliveries", p.deaf, before, many)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	take := func() uint64 {
		t.Helper()
		got, err := intake.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got.Files[0].Close()
		return got.ID
	}
	id := take() // there is room now, and nobody tries
	if s.route(); delivered() != before {
		t.Errorf("%d deliveries after %d, to one that is deaf", delivered(), before)
	}
	for range 99 {
		id = take()
	}
	s.replied(p, parcel.Reply{Taken: id})
	if n := delivered() + 1; n <= before {
		t.Errorf("%d deliveries after %d, when something was taken", n, before)
	}
	s.discard(s.store.drop(func(*entry) bool { return true }))
}
