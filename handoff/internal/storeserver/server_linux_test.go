package storeserver

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// A recorder is a Mirror that notes what it is asked, in order.
type recorder struct {
	none, unknown bool // it keeps nothing; nobody knows that yet
	limit         int  // 0: it does not say
	asked         []string
}

func (r *recorder) Known() bool                  { return !r.unknown }
func (r *recorder) Keeps() bool                  { return !r.none }
func (r *recorder) StoreLimit() (int, bool)      { return r.limit, r.limit > 0 }
func (r *recorder) Keep(name string, _ *os.File) { r.asked = append(r.asked, "keep "+name) }
func (r *recorder) KeepPolled(name string, _ *os.File) {
	r.asked = append(r.asked, "keep polled "+name)
}
func (r *recorder) Drop(name string) { r.asked = append(r.asked, "drop "+name) }

func (r *recorder) expect(t *testing.T, what string, want ...string) {
	t.Helper()
	expect(t, what, r.asked, want...)
	r.asked = nil
}

// begin returns a store that has inherited files, and the files that are not its own.
func begin(t *testing.T, mirror *recorder, limit int, files ...activation.NamedFile) (*Server, []activation.NamedFile, chan func()) {
	t.Helper()
	leaktest.Check(t)
	s := New(slog.New(slog.DiscardHandler), func(gen uint64) { t.Errorf("generation %d has taken all", gen) })
	s.SetMirror(mirror)
	s.SetLimit(limit)
	rest, err := s.Inherit(files)
	if err != nil {
		t.Fatal(err)
	}
	calls := make(chan func(), 16)
	if err := s.Watch(func(f func()) bool { calls <- f; return true }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, rest, calls
}

// TestCopies: what is stored is copied, once it is known that the service manager keeps
// it, under names that no process uses twice, and dropped there, too.
func TestCopies(t *testing.T) {
	mirror := &recorder{unknown: true, limit: 9}
	s, _, calls := begin(t, mirror, 0)
	if _, limit := s.Usage(); limit != 8 || s.Stored() {
		t.Errorf("the limit is %d, want 8; stored before: %v", limit, s.Stored())
	}
	s.Attach(1, nil)
	s.Store(1, "state", []*os.File{fdtest.Memfd(t)}, false, false)
	mirror.expect(t, "before it is known")
	mirror.unknown = false
	s.CopyAllUp()
	mirror.expect(t, "once it is", "keep polled handoffd.state", "keep handoffd.entry.1.state")
	s.CopyAllUp()
	mirror.expect(t, "a second time")
	s.Store(1, "conn", []*os.File{fdtest.Hungup(t)}, true, false) // its peer has hung up
	mirror.expect(t, "one that is polled", "keep handoffd.entry.2p.conn")
	(<-calls)()
	mirror.expect(t, "after a hangup", "drop handoffd.entry.2p.conn")
	s.Remove(1, "state")
	mirror.expect(t, "a removal", "drop handoffd.entry.1.state")
	s.Store(1, "late", []*os.File{fdtest.Memfd(t)}, false, true)
	mirror.expect(t, "one for the next process", "keep handoffd.entry.3.late")
	mirror.none = true
	s.Store(1, "in vain", []*os.File{fdtest.Memfd(t)}, false, true)
	if stored, _ := s.Usage(); stored != 1 {
		t.Errorf("%d stored, want 1: nobody would get the last one", stored)
	}
}

// TestInherit: what the service manager gives back is the store's again, even where it
// is more than the limit, and nothing else is.
func TestInherit(t *testing.T) {
	numbers, err := openSerials(nil)
	if err != nil {
		t.Fatal(err)
	}
	numbers.generation, numbers.name = 7, 3
	if err := numbers.write(); err != nil {
		t.Fatal(err)
	}
	mirror := &recorder{}
	web, twice := fdtest.Listener(t), fdtest.Listener(t)
	s, rest, _ := begin(t, mirror, 1, []activation.NamedFile{
		{Name: "web", File: web},
		{Name: "handoffd.state", File: numbers.file},
		{Name: "handoffd.state", File: fdtest.Memfd(t)},
		{Name: "handoffd.entry.2.listen", File: twice},
		{Name: "handoffd.entry.3p.a.b", File: fdtest.Hungup(t)},
		{Name: "handoff.parcel.1", File: fdtest.Hungup(t)},
		{Name: "handoffd.entry.1.again", File: sameAs(t, twice)},
	}...)
	if len(rest) != 1 || rest[0].Name != "web" || !s.Stored() || s.LastGeneration() != 7 {
		t.Errorf("%d files of the service, stored before: %v, last generation %d", len(rest), s.Stored(), s.LastGeneration())
	}
	expect(t, "the entries", names(s.entries), "listen", "a.b", "handoff.parcel.1")
	mirror.expect(t, "what is there twice", "drop handoffd.entry.1.again")
	s.CopyAllUp()
	mirror.expect(t, "what is a copy already")
	s.Attach(8, nil)
	var got []string
	for _, f := range s.Files(8, true) {
		got = append(got, f.Name)
	}
	if err := s.NoteGeneration(8); err != nil || s.LastGeneration() != 8 {
		t.Errorf("last generation %d, %v", s.LastGeneration(), err)
	}
	if !slices.Contains(got, "listen") {
		t.Errorf("a generation gets %q", got)
	}
}

// TestAwaitTaken: it is told when a generation has taken the last of what others left,
// and at once of one that does not say what it takes.
func TestAwaitTaken(t *testing.T) {
	s, _, _ := begin(t, &recorder{none: true}, 9)
	var told []uint64
	s.taken = func(gen uint64) { told = append(told, gen) }
	d, child, err := parcel.NewDeliverer()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	defer child.Close()
	s.Attach(1, nil)
	s.Store(1, "conn", []*os.File{fdtest.Hungup(t)}, false, false)
	s.Reclaim(1, true)
	s.Attach(2, d)
	s.Serve(2)
	if !s.Committed(2) || s.Committed(1) {
		t.Errorf("committed: 1 %v, 2 %v", s.Committed(1), s.Committed(2))
	}
	s.AwaitTaken(2, true)
	if len(told) != 0 || !s.SnapshotPeer(2).Awaiting {
		t.Errorf("told of %d, before it has taken what it got", told)
	}
	s.Taken(2, d.Last())
	s.AwaitTaken(1, false)
	if want := []uint64{2, 1}; !slices.Equal(told, want) || s.SnapshotPeer(2).Awaiting {
		t.Errorf("told of %d, want %d", told, want)
	}
}

// TestDeafGeneration: where a generation does not take what it is delivered, nobody
// waits for it again before it does.
func TestDeafGeneration(t *testing.T) {
	const many = 600 // more than go in at once
	s, _, _ := begin(t, &recorder{none: true}, many+1)
	d, child, err := parcel.NewDeliverer()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	intake, err := parcel.NewIntake(child)
	if err != nil {
		t.Fatal(err)
	}
	defer intake.Close()
	child.Close()
	s.Attach(1, d)
	p := s.peers[1]
	s.target = 1
	for i := range many {
		if !s.add(newEntry(strconv.Itoa(i), fdtest.Memfd(t), 0)) {
			t.Fatal("not stored")
		}
	}
	delivered := func() (n int) {
		for _, e := range s.entries {
			n += len(e.holders)
		}
		return n
	}
	s.Route()
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
	if s.Route(); delivered() != before {
		t.Errorf("%d deliveries after %d, to one that is deaf", delivered(), before)
	}
	for range 99 {
		id = take()
	}
	s.Taken(1, id)
	if n := delivered() + 1; n <= before {
		t.Errorf("%d deliveries after %d, when something was taken", n, before)
	}
	s.discard(s.drop(func(*entry) bool { return true }))
}
