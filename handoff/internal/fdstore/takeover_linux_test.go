package fdstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// A registry takes states early and all that is called "mine", keeps what is called
// "later", and drops the rest.
type registry struct {
	t       *testing.T
	adopted []string
	fails   map[string]error
	look    func(e protocol.Entry) // is called in Adopt
	shown   int
}

func (r *registry) Early(e protocol.Entry) bool { return e.Kind == protocol.KindState }

func (r *registry) Preview(protocol.Entry) { r.shown++ }

func (r *registry) Judge(e protocol.Entry) protocol.Fate {
	switch e.Name {
	case "mine":
		return protocol.Take
	case "later":
		return protocol.Keep
	}
	return protocol.Drop
}

func (r *registry) Adopt(_ context.Context, e protocol.Entry, it *parcel.Item) error {
	if (it == nil) != r.Early(e) {
		r.t.Errorf("%s %q was given the item %v", e.Kind, e.Name, it)
	}
	if r.look != nil {
		r.look(e)
	}
	what := fmt.Sprintf("%s of %d", e.Kind, e.Generation)
	r.adopted = append(r.adopted, what)
	if it != nil {
		it.Close()
	}
	return r.fails[what]
}

func (r *registry) Promised([]protocol.Entry) error { return nil }

func (r *registry) CheckPromised() error { return nil }

func (r *registry) has(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.adopted, want) {
		r.t.Errorf("adopted %q, want %q", r.adopted, want)
	}
	r.adopted = nil
}

// newTakeover returns one without a manager.
func newTakeover(t *testing.T) (*Takeover, *registry, *[]string) {
	leaktest.Check(t)
	var reports []string
	rep := report.New(func(err error) { reports = append(reports, err.Error()) })
	r := &registry{t: t, fails: make(map[string]error)}
	return &Takeover{
		Store:      New(nil, rep),
		Deliveries: NewDeliveries(nil, rep),
		Registry:   r,
		Report:     rep,
		First:      func() parcel.Entry { return parcel.Entry{Kind: protocol.KindGeneration} },
		Own:        func(context.Context) {},
		Ready:      func() bool { return true },
	}, r, &reports
}

func payload(generation uint64) []byte {
	return protocol.Record{Generation: generation, Saved: time.Now()}.Marshal()
}

// put puts entries into w: a kind and a name each, and a socket where it is no state.
func put(t *testing.T, w *parcel.Writer, generation uint64, entries ...string) {
	t.Helper()
	for _, text := range entries {
		kind, name, _ := strings.Cut(text, " ")
		e := parcel.Entry{Kind: kind, Name: name, Payload: payload(generation)}
		if kind != protocol.KindState {
			a, b := socketPair(t)
			b.Close()
			defer a.Close()
			e.Descriptors = []syscall.Conn{a}
		}
		if err := w.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func socketPair(t *testing.T) (a, b *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
}

// open returns a parcel that is not ended, and its writer.
func open(t *testing.T, generation uint64, entries ...string) (*incoming, *parcel.Writer) {
	t.Helper()
	w, file, err := parcel.New(parcel.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Abandon)
	put(t, w, generation, entries...)
	return &incoming{name: fmt.Sprintf("%s%d", protocol.ParcelPrefix, generation), file: file}, w
}

func whole(t *testing.T, generation uint64, entries ...string) *incoming {
	t.Helper()
	p, w := open(t, generation, entries...)
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// lookAt looks at parcels and plans, as Look does with what was inherited.
func (t *Takeover) lookAt(parcels ...*incoming) {
	for _, p := range parcels {
		if t.look(p) {
			t.parcels = append(t.parcels, p)
		}
	}
	t.parcels = t.plan(t.parcels)
}

// TestOrder: states come before the connections that may need them, and whole parcels
// before one whose writer takes its time.
func TestOrder(t *testing.T) {
	tk, r, _ := newTakeover(t)
	unfinished, w := open(t, 1, "conn mine")
	tk.lookAt(unfinished, whole(t, 3, "conn mine"), whole(t, 2, "conn mine"), whole(t, 4, "state mine"))
	if r.shown != 1 {
		t.Errorf("%d entries were shown before they were judged", r.shown)
	}
	go w.Close(context.Background())
	if err := tk.Run(t.Context(), func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	r.has("state of 4", "conn of 2", "conn of 3", "conn of 1")
}

// TestEarly: a state is adopted while it is in its parcel, and once.
func TestEarly(t *testing.T) {
	tk, r, _ := newTakeover(t)
	p, w := open(t, 1, "state mine", "conn mine")
	tk.lookAt(p)
	r.look = func(e protocol.Entry) {
		empty, err := parcel.Drained(p.file)
		if r.Early(e) && e.Generation == 1 && (err != nil || empty) {
			t.Errorf("its parcel is empty: %v, %v", empty, err)
		}
	}
	put(t, w, 2, "state mine") // comes after the look
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tk.Run(t.Context(), func() bool { return false }); err != nil {
		t.Fatal(err)
	}
	r.has("state of 1", "conn of 1", "state of 2")
}

// TestFailures: what cannot be adopted early ends the service, and its parcel stays as it
// is. Anything else is lost alone.
func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	t.Run("early", func(t *testing.T) {
		tk, r, _ := newTakeover(t)
		r.fails["state of 1"] = broken
		p := whole(t, 1, "state mine", "conn mine")
		kept, err := syscall.Dup(int(p.file.Fd())) // as the manager has it
		if err != nil {
			t.Fatal(err)
		}
		manager := os.NewFile(uintptr(kept), p.name)
		tk.lookAt(p)
		if err := tk.Run(t.Context(), func() bool { return false }); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		again, r, _ := newTakeover(t)
		again.lookAt(&incoming{name: p.name, file: manager})
		if err := again.Run(t.Context(), func() bool { return false }); err != nil {
			t.Error(err)
		}
		r.has("state of 1", "conn of 1")
	})
	t.Run("not early", func(t *testing.T) {
		tk, r, reports := newTakeover(t)
		r.fails["http of 1"] = broken
		tk.lookAt(whole(t, 1, "http mine", "conn mine", "conn unknown", "conn unknown"))
		if err := tk.Run(t.Context(), func() bool { return false }); err != nil {
			t.Error(err)
		}
		r.has("http of 1", "conn of 1")
		if n := tk.Report.Count.Refused.Load(); n != 3 {
			t.Errorf("%d were counted as refused", n)
		}
		text := strings.Join(*reports, "\n")
		if !strings.Contains(text, `http "mine": `+report.ErrLost.Error()) || !strings.Contains(text, "2 connections of conn unknown") {
			t.Errorf("reported %s", text)
		}
	})
}

// TestLeft: a parcel with nothing but what waits for a later generation stays as it is, and
// of too many the oldest is given up.
func TestLeft(t *testing.T) {
	tk, r, reports := newTakeover(t)
	var all []*incoming
	for i := range maxKept + 1 {
		all = append(all, whole(t, uint64(10-i), "conn later"))
	}
	tk.lookAt(all...)
	if !tk.Empty() || len(tk.idle) != maxKept {
		t.Errorf("%d are to be read, %d are left", len(tk.parcels), len(tk.idle))
	}
	if len(*reports) != 1 || !strings.Contains((*reports)[0], "generation 2: "+report.ErrLost.Error()) {
		t.Errorf("reported %q", *reports)
	}
	r.has()
}

// TestLookAtOthers: what is no parcel of ours is removed, and what a later version has
// written is left to one.
func TestLookAtOthers(t *testing.T) {
	tk, _, reports := newTakeover(t)
	a, b := socketPair(t)
	defer b.Close()
	newer, w := open(t, 1)
	b2 := payload(1)
	b2[0]++
	if err := errors.Join(w.Put(t.Context(), parcel.Entry{Kind: "conn", Payload: b2}), w.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	tk.lookAt(&incoming{name: "no parcel", file: a}, newer)
	if !tk.Empty() || len(tk.idle) != 1 || tk.idle[0] != newer {
		t.Errorf("%d are to be read, %d are left", len(tk.parcels), len(tk.idle))
	}
	if len(*reports) != 2 || !strings.Contains((*reports)[1], "left for a later generation") {
		t.Errorf("reported %q", *reports)
	}
}

// TestStop: a generation that is to stop does not wait for a writer, and leaves the parcel
// to the newest.
func TestStop(t *testing.T) {
	tk, r, _ := newTakeover(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.look = func(protocol.Entry) { cancel() }
	p, _ := open(t, 1, "conn mine")
	tk.lookAt(p)
	if err := tk.Run(ctx, func() bool { return true }); err != nil {
		t.Error(err)
	}
	r.has("conn of 1")
	if !tk.Empty() || p.reader != nil {
		t.Error("the parcel was not let go of")
	}
}
