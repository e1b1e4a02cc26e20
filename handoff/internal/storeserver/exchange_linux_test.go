package storeserver

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/notify"
)

// deliveries notes what a generation is sent.
type deliveries struct{ names []string }

func (d *deliveries) Deliver(_ context.Context, name string, _ ...*os.File) (uint64, error) {
	d.names = append(d.names, name)
	return uint64(len(d.names)), nil
}

func isClosed(f *os.File) bool {
	_, err := f.Stat()
	return errors.Is(err, os.ErrClosed)
}

// TestLimit: what is configured counts, then what the service manager takes but one.
func TestLimit(t *testing.T) {
	for _, c := range []struct{ configured, mirror, want int }{
		{5, 9, 5},
		{0, 9, 8},
		{0, 0, DefaultLimit}, // it does not say
	} {
		s := New(slog.New(slog.DiscardHandler), nil)
		s.SetMirror(&recorder{limit: c.mirror})
		s.SetLimit(c.configured)
		if _, got := s.Usage(); got != c.want {
			t.Errorf("%+v: the limit is %d", c, got)
		}
	}
}

// TestFull: what does not go in is closed at once, and each generation is told of once.
func TestFull(t *testing.T) {
	mirror := &recorder{}
	s, _, _ := begin(t, mirror, 1)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	s.Attach(1, nil)
	fits, late, later := fdtest.Memfd(t), fdtest.Memfd(t), fdtest.Memfd(t)
	s.Store(1, "fits", []*os.File{fits}, false, false)
	if log.Len() > 0 || isClosed(fits) {
		t.Errorf("what fits is closed: %v; the log is %s", isClosed(fits), log.String())
	}
	s.Store(1, "late", []*os.File{late, later}, false, false)
	if n := strings.Count(log.String(), "the store is full"); n != 1 || !isClosed(late) || !isClosed(later) {
		t.Errorf("told %d times; closed: %v, %v", n, isClosed(late), isClosed(later))
	}
	mirror.expect(t, "of three", "keep handoffd.entry.1.fits")
	if stored, _ := s.Usage(); stored != 1 {
		t.Errorf("%d are stored", stored)
	}
	s.Remove(1, "fits")
	if !isClosed(fits) {
		t.Error("what was removed stays open")
	}
}

// TestLastStore: when the service ends, what would not outlive it is not taken.
func TestLastStore(t *testing.T) {
	mirror := &recorder{limit: 3} // of which one is for the numbers
	s, _, _ := begin(t, mirror, 9)
	for _, name := range []string{"first", "second", "third"} {
		s.Store(1, name, []*os.File{fdtest.Memfd(t)}, false, true)
	}
	expect(t, "what is stored", names(s.entries), "first", "second")
}

// TestRoute: the generation that serves gets at once what others store, or give back;
// with the service come the removals that it has asked for.
func TestRoute(t *testing.T) {
	mirror := &recorder{}
	s, _, _ := begin(t, mirror, 9)
	first, second := new(deliveries), new(deliveries)
	s.Attach(1, first)
	s.Attach(2, second)
	s.Serve(1)
	s.Store(1, "state", []*os.File{fdtest.Memfd(t)}, false, false)
	s.Files(2, false)
	s.Remove(2, "state")
	expect(t, "what is stored", names(s.entries), "state")
	s.Serve(2)
	expect(t, "without what the second removed", names(s.entries))
	s.Store(3, "conn", []*os.File{fdtest.Hungup(t)}, false, false)
	s.Store(2, "own", []*os.File{fdtest.Hungup(t)}, false, false)
	expect(t, "what the second gets", second.names, "conn")
	s.Serve(1)
	expect(t, "what the first gets", first.names, "own")
	s.Reclaim(2, true)
	expect(t, "with what the second had", first.names, "own", "conn")
	s.Detach(1)
	s.Store(2, "more", []*os.File{fdtest.Hungup(t)}, false, false)
	expect(t, "nothing, when it has gone", first.names, "own", "conn")
	s.Serve(0)
	if s.Committed(1) || !s.Committed(2) || s.Committed(9) {
		t.Errorf("committed: 1, which has gone, %v, 2 %v, 9 %v", s.Committed(1), s.Committed(2), s.Committed(9))
	}
}

// TestInheritedHangup: what came back and hangs up is dropped; what is left of a probe,
// and a second file of numbers, is closed.
func TestInheritedHangup(t *testing.T) {
	mirror := &recorder{}
	probe, kept := fdtest.Memfd(t), fdtest.Hungup(t)
	s, rest, calls := begin(t, mirror, 9,
		activation.NamedFile{Name: notify.ProbeName, File: probe},
		activation.NamedFile{Name: "stored", File: kept},
		activation.NamedFile{Name: "handoffd.entry.1p.conn", File: fdtest.Hungup(t)},
	)
	if len(rest) != 0 || !isClosed(probe) || s.Stored() {
		t.Errorf("%d are not the store's; the probe is closed: %v; stored before: %v", len(rest), isClosed(probe), s.Stored())
	}
	(<-calls)()
	expect(t, "what is left", names(s.entries), "stored")
	mirror.expect(t, "the copies", "drop handoffd.entry.1p.conn")
	s.Close()
	if !isClosed(kept) {
		t.Error("an entry is open at the end")
	}
	s.entries, s.hangups = nil, nil
}

// TestAwaitNothing: one that has taken all is told of at once, one that is not there
// never.
func TestAwaitNothing(t *testing.T) {
	s, _, _ := begin(t, &recorder{none: true}, 9)
	var told []uint64
	s.taken = func(gen uint64) { told = append(told, gen) }
	s.AwaitTaken(1, true)
	s.Attach(1, new(deliveries))
	s.AwaitTaken(1, true)
	s.AwaitTaken(1, false)
	if len(told) != 2 || s.SnapshotPeer(1).Awaiting || s.SnapshotPeer(2) != (PeerState{}) {
		t.Errorf("told of %v", told)
	}
	s.Taken(9, 1) // of one that has gone
}
