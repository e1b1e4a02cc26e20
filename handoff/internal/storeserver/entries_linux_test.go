package storeserver

import (
	"os"
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func newTable(limit int) *table {
	return &table{limit: limit, drops: make(map[uint64][]string)}
}

// names lists what a function of the store returned.
func names(list []*entry) []string {
	var names []string
	for _, e := range list {
		names = append(names, e.name)
	}
	return names
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// inherited names what a generation gets at its start.
func inherited(st *table, gen uint64, all bool) []string {
	var names []string
	for _, f := range st.inherit(gen, all) {
		names = append(names, f.Name)
	}
	return names
}

// TestStoreAcrossAReload: a successor shares what can be shared from its start, and
// gets the rest when it is committed.
func TestStoreAcrossAReload(t *testing.T) {
	leaktest.Check(t)
	st := newTable(8)
	st.target = 1
	st.add(newEntry("parcel", fdtest.Hungup(t), 0))
	st.add(newEntry("listener", fdtest.Listener(t), 0))
	expect(t, "the first inherits", inherited(st, 1, true), "parcel", "listener")
	st.add(newEntry("state", fdtest.Memfd(t), 1))
	st.add(newEntry(protocol.ManifestPrefix+"0", fdtest.Hungup(t), 1))
	expect(t, "nothing goes back to who stored it", names(st.due()))

	expect(t, "the second inherits", inherited(st, 2, false), "listener", "state", protocol.ManifestPrefix+"0")
	expect(t, "a removal waits for the commit", names(st.remove(2, "state", false)))
	st.target = 2
	expect(t, "until then", names(st.committed(2)), "state")
	expect(t, "what the first holds is not taken away from it", names(st.due()))

	st.add(newEntry("conns", fdtest.Hungup(t), 1))
	expect(t, "the first drains", names(st.due()), "conns")
	st.entries[len(st.entries)-1].holders[2] = 7
	expect(t, "once", names(st.due()))
	expect(t, "another ID", names(st.acknowledged(2, 6)))
	expect(t, "another generation", names(st.acknowledged(1, 7)))
	expect(t, "acknowledged", names(st.acknowledged(2, 7)), "conns")

	st.reclaim(1, true)
	expect(t, "what the first left", names(st.due()), "parcel")
	expect(t, "a third one shares", inherited(st, 3, false), "listener", protocol.ManifestPrefix+"0")
	expect(t, "one that serves alone gets all", inherited(st, 4, true), "parcel", "listener", protocol.ManifestPrefix+"0")
}

// TestStoreOfAHandOver: a predecessor that releases gives away what has one reader, and
// gets it back if its successor fails, but for what that has taken. What several may
// have stays its own.
func TestStoreOfAHandOver(t *testing.T) {
	leaktest.Check(t)
	st := newTable(8)
	st.target = 1
	st.add(newEntry("conns", fdtest.Hungup(t), 0))
	inherited(st, 1, true)
	st.add(newEntry("handoff.listen.web", fdtest.Listener(t), 1))
	inherited(st, 2, false)
	st.add(newEntry("handoff.listen.more", fdtest.Listener(t), 1))
	st.target = 2
	st.add(newEntry("handoff.parcel.1", fdtest.Hungup(t), 1))
	deliver := func(what string, want ...string) {
		t.Helper()
		expect(t, what, names(st.due()), want...)
		for i, e := range st.due() {
			e.holders[st.target] = uint64(i + 1)
		}
	}
	deliver("while it releases", "handoff.parcel.1")
	st.reclaim(1, false)
	deliver("once it has released", "conns")
	if !st.owes(2) {
		t.Error("the successor has taken all")
	}
	expect(t, "the successor takes one", names(st.acknowledged(2, st.entries[0].holders[2])), "conns", "handoff.parcel.1")
	if st.owes(2) {
		t.Error("the successor has not taken all")
	}
	st.add(newEntry("handoff.parcel.0", fdtest.Hungup(t), 3))
	deliver("of one that drains", "handoff.parcel.0")
	if st.owes(2) {
		t.Error("what another stores that drains is waited for")
	}
	st.add(newEntry("handoff.parcel.2", fdtest.Hungup(t), 1))
	deliver("a late one", "handoff.parcel.2")
	st.target = 1
	st.reclaim(1, false)
	deliver("while the successor may read")
	st.add(newEntry("handoff.parcel.3", fdtest.Hungup(t), 2))
	deliver("what the successor leaves", "handoff.parcel.3")
	st.reclaim(2, true)
	deliver("when it is over", "handoff.parcel.0", "handoff.parcel.2")
	expect(t, "a socket is still its own", names(st.remove(1, "handoff.listen.web", true)), "handoff.listen.web")
}

// TestStoreOfAnUndoneSuccessor: its predecessor has all that it had.
func TestStoreOfAnUndoneSuccessor(t *testing.T) {
	leaktest.Check(t)
	st := newTable(8)
	st.target = 1
	inherited(st, 1, true)
	st.add(newEntry("state", fdtest.Memfd(t), 1))
	expect(t, "the second inherits", inherited(st, 2, false), "state")
	st.remove(2, "state", false)
	st.add(newEntry("conns", fdtest.Hungup(t), 2))
	expect(t, "its connections go to the first", names(st.due()), "conns")
	st.reclaim(2, true)
	expect(t, "the removal is forgotten", names(st.committed(2)))
	expect(t, "the first may remove it", names(st.remove(1, "state", true)), "state")
}

func TestStoreLimits(t *testing.T) {
	leaktest.Check(t)
	st := newTable(2)
	f := fdtest.Memfd(t)
	again, err := fd.Duplicate(f, f.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !st.add(newEntry("a", f, 1)) {
		t.Error("there is no room for the first")
	}
	if st.add(newEntry("b", again, 1)) {
		t.Error("the same descriptor is stored twice")
	}
	if _, err := again.Stat(); err == nil {
		t.Error("what was not stored is still open")
	}
	if !st.add(newEntry("b", fdtest.Memfd(t), 1)) || st.add(newEntry("c", fdtest.Memfd(t), 1)) {
		t.Error("the limit of 2 does not hold")
	}
	for i := range 100 {
		st.remove(2, string(rune('a'+i)), false)
	}
	if n := len(st.drops[2]); n > 2 {
		t.Errorf("%d removals are remembered", n)
	}
	if n := st.count(1); n != 2 {
		t.Errorf("generation 1 has stored %d", n)
	}
}

// sameAs returns another descriptor of the same open file description.
func sameAs(t *testing.T, f *os.File) *os.File {
	t.Helper()
	d, err := fd.Duplicate(f, f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return d
}
