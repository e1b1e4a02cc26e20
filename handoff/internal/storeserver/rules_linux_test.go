package storeserver

import (
	"os"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestShareable: what two generations may hold at once is what has no peer.
func TestShareable(t *testing.T) {
	leaktest.Check(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	closed := fdtest.Memfd(t)
	closed.Close()
	for _, c := range []struct {
		what, name string
		file       *os.File
		want       bool
	}{
		{"a file", "state", fdtest.Memfd(t), true},
		{"a listener", "web", fdtest.Listener(t), true},
		{"a connection", "conn", fdtest.Hungup(t), false},
		{"a pipe", "pipe", r, false},
		{"a manifest, which is never emptied", protocol.ManifestPrefix + "1", fdtest.Hungup(t), true},
		{"what cannot be looked at", "state", closed, false},
	} {
		if got := shareable(c.name, c.file); got != c.want {
			t.Errorf("%s is shareable: %v, want %v", c.what, got, c.want)
		}
	}
}

// TestHeldOnce: what is not shareable has one holder at most, who has the file that was
// stored, and nobody else gets it.
func TestHeldOnce(t *testing.T) {
	leaktest.Check(t)
	st := newTable(8)
	conn, state := fdtest.Hungup(t), fdtest.Memfd(t)
	st.add(newEntry("conn", conn, 0))
	st.add(newEntry("state", state, 0))
	first := st.inherit(1, true)
	if len(first) != 2 || first[0].File != conn || first[1].File != state {
		t.Errorf("generation 1 gets %v", first)
	}
	expect(t, "a second one that serves alone", inherited(st, 2, true), "state")
	expect(t, "nobody is the service", names(st.due()))
	st.target = 3
	expect(t, "one that runs", names(st.due()), "state")
	st.reclaim(1, false)
	expect(t, "the first gives the connection back, and keeps what it shares", names(st.due()), "conn", "state")
	if _, held := st.entries[1].holders[1]; !held {
		t.Error("it does not hold what it shares any more")
	}
	st.reclaim(1, true)
	if _, held := st.entries[1].holders[1]; held {
		t.Error("it holds something when it is over")
	}
}

// TestOwned: a generation that gives back is no owner any more, of what several may have
// only when it is over; none gets what it stored itself.
func TestOwned(t *testing.T) {
	leaktest.Check(t)
	st := newTable(8)
	st.add(newEntry("conn", fdtest.Hungup(t), 1))
	st.add(newEntry("state", fdtest.Memfd(t), 1))
	st.target = 1
	expect(t, "its own", names(st.due()))
	if n := st.count(1); n != 2 {
		t.Errorf("generation 1 has stored %d, want 2", n)
	}
	st.reclaim(1, false)
	expect(t, "what it gave back", names(st.due()), "conn")
	if n := st.count(1); n != 1 {
		t.Errorf("generation 1 has stored %d, want 1", n)
	}
	st.reclaim(1, true)
	if n := st.count(1); n != 0 {
		t.Errorf("generation 1 has stored %d, want none: it is over", n)
	}
}

// TestAcknowledged: only a delivery is, not what was inherited.
func TestAcknowledged(t *testing.T) {
	leaktest.Check(t)
	st := newTable(8)
	st.add(newEntry("state", fdtest.Memfd(t), 0))
	st.add(newEntry("conn", fdtest.Hungup(t), 0))
	inherited(st, 1, false)
	expect(t, "no ID", names(st.acknowledged(1, 0)))
	st.target = 1
	if !st.owes(1) || st.owes(2) {
		t.Errorf("1 owes %v, 2 owes %v", st.owes(1), st.owes(2))
	}
	st.entries[1].holders[1] = 4
	st.target = 0
	if !st.owes(1) || st.owes(2) {
		t.Errorf("with a delivery under way 1 owes %v, 2 owes %v", st.owes(1), st.owes(2))
	}
	expect(t, "its ID", names(st.acknowledged(1, 4)), "conn")
	if st.owes(1) {
		t.Error("1 owes something though it has taken all")
	}
}

// TestRemovals: one that is the service removes what it stored and what it was given,
// and nothing else; one that is not yet has its removals remembered, each once, until it
// is, or is over.
func TestRemovals(t *testing.T) {
	leaktest.Check(t)
	st := newTable(8)
	for _, name := range []string{"a", "b", "c"} {
		st.add(newEntry(name, fdtest.Hungup(t), 0))
	}
	st.entries[0].holders[1] = 0
	expect(t, "what it was not given", names(st.remove(1, "b", true)))
	expect(t, "what it was given", names(st.remove(1, "a", true)), "a")
	if len(st.drops) != 0 {
		t.Errorf("removals of the service are remembered: %v", st.drops)
	}
	st.entries[0].holders[2] = 0
	for range 3 {
		expect(t, "before it is the service", names(st.remove(2, "b", false)))
		st.remove(2, "c", false)
	}
	expect(t, "the removals", st.drops[2], "b", "c")
	expect(t, "once it is the service", names(st.committed(2)), "b")
	expect(t, "only once", names(st.committed(2)))
	if len(st.drops) != 0 {
		t.Errorf("removals are remembered still: %v", st.drops)
	}
	st.remove(3, "c", false)
	st.reclaim(3, false)
	expect(t, "of one that is not over", st.drops[3], "c")
	st.reclaim(3, true)
	if len(st.drops) != 0 {
		t.Errorf("removals of one that is over are remembered: %v", st.drops)
	}
}
