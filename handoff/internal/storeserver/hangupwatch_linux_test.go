package storeserver

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestHangups: a hangup is told once, also one from before, and none of what was
// removed.
func TestHangups(t *testing.T) {
	leaktest.Check(t)
	told := make(chan int32, 16)
	h, err := watchHangups(func(id int32) { told <- id })
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	await := func(want int32) {
		t.Helper()
		select {
		case id := <-told:
			if id != want {
				t.Errorf("%d is told, want %d", id, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%d is not told", want)
		}
	}
	a, aPeer := fdtest.Pair(t)
	b, bPeer := fdtest.Pair(t)
	c, cPeer := fdtest.Pair(t)
	d, dPeer := fdtest.Pair(t)
	h.add(fdtest.Memfd(t), 9)
	h.add(a, 1)
	h.add(b, 2)
	h.add(d, 4)
	if _, err := bPeer.Write([]byte("no hangup")); err != nil {
		t.Fatal(err)
	}
	aPeer.Close()
	await(1)
	cPeer.Close()
	h.add(c, 3)
	await(3)
	h.remove(d)
	dPeer.Close()
	bPeer.Close()
	await(2)
	if len(told) > 0 {
		t.Errorf("%d is told, too", <-told)
	}
}
