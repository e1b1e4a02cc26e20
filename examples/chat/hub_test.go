package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func mustJoinHub(t testing.TB, h *hub, room, nick string) *member {
	t.Helper()
	m, err := h.join(room, nick)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPlaces(t *testing.T) {
	h := newHub()
	var last *member
	for i := range maxMembers {
		last = mustJoinHub(t, h, fmt.Sprintf("room-%d", i%1000), "x")
	}
	if _, err := h.join("room", "late"); err == nil || !strings.Contains(err.Error(), "all 4096 places are taken") {
		t.Errorf("one more: got %v, want that all places are taken", err)
	}
	h.leave(last)
	mustJoinHub(t, h, "room", "late")
}

// The same comes out of a state as went in: queues, order, who has been told
// goodbye, and the numbers of those to come.
func TestState(t *testing.T) {
	h := newHub()
	mustJoinHub(t, h, "a", "alice")
	gone := mustJoinHub(t, h, "a", "gone")
	mustJoinHub(t, h, "b", "bob")
	h.leave(mustJoinHub(t, h, "b", "left"))
	h.dismiss(gone, 1000, "bye")
	mustJoinHub(t, h, "a", "eve")
	b, err := h.save(context.Background())
	if err != nil {
		t.Fatal(err)
	}

	n := newHub()
	if err := n.load(context.Background(), stateVersion, b); err != nil {
		t.Fatal(err)
	}
	if again, err := n.save(context.Background()); err != nil || string(again) != string(b) {
		t.Errorf("saved again it is %s, with error %v, want %s", again, err, b)
	}
	if a, b := n.who("a"), n.who("b"); !slices.Equal(a, []string{"alice", "eve"}) || !slices.Equal(b, []string{"bob"}) {
		t.Errorf("in the rooms are %q and %q", a, b)
	}
	for id, m := range h.members {
		got, err := n.attach(id)
		if err != nil {
			t.Fatal(err)
		}
		want, wantLast := h.take(m, nil)
		if out, last := n.take(got, nil); string(out) != string(want) || last != wantLast {
			t.Errorf("%s is sent %q (last: %v), want %q (last: %v)", got.Nick, out, last, want, wantLast)
		}
	}
	if m := mustJoinHub(t, n, "a", "new"); h.members[m.ID] != nil || m.ID != h.last+1 {
		t.Errorf("the next member has number %d, want %d", m.ID, h.last+1)
	}
	n.sweep()
	if len(n.members) != 5 {
		t.Errorf("%d members are left, want all 5", len(n.members))
	}
}

func TestForeignState(t *testing.T) {
	if err := newHub().load(context.Background(), stateVersion, []byte("x")); err == nil || !strings.Contains(err.Error(), "rooms of version 1") {
		t.Errorf("got %v, want an error that says what cannot be read", err)
	}
}
