package fdstore

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// newStore returns the store of a manager that takes limit entries.
func newStore(t *testing.T, limit int) (*Store, *notifytest.Manager, *[]error) {
	leaktest.Check(t)
	m := notifytest.Options{StoreMax: limit}.New(t)
	m.Setenv()
	n, err := notify.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	var reports []error
	return New(n, report.New(func(err error) { reports = append(reports, err) })), m, &reports
}

// stored returns how many entries the manager has whose names begin so.
func stored(t *testing.T, st *Store, m *notifytest.Manager, prefix string) (count int) {
	t.Helper()
	if err := st.manager.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, files := range m.Stored() {
		if strings.HasPrefix(name, prefix) {
			count += len(files)
		}
	}
	return count
}

// TestSettle: nothing changes in the store before this generation owns it.
func TestSettle(t *testing.T) {
	st, m, reports := newStore(t, 2)
	if err := st.put(t.Context(), "old", 0, pipe(t)); err != nil {
		t.Fatal(err)
	}
	st.RemoveLater("old")
	st.RemoveLater("old")
	st.StoreLater("new", pipe(t))
	st.StoreLater("second", pipe(t))
	st.StoreLater("too many", pipe(t))
	if stored(t, st, m, "old") != 1 || stored(t, st, m, "") != 1 {
		t.Error("the store has changed already")
	}
	st.Settle(t.Context())
	if stored(t, st, m, "old") != 0 || stored(t, st, m, "new") != 1 || stored(t, st, m, "") != 2 {
		t.Error("the store has not changed as it was to")
	}
	if len(*reports) != 1 || !errors.Is((*reports)[0], report.ErrNotKept) {
		t.Errorf("reported %v", *reports)
	}
	m.Reset()
	st.Settle(t.Context())
	if err := st.manager.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, message := range m.Messages() {
		if _, ok := message.Get("FDSTORE"); ok {
			t.Errorf("changed a second time: %v", message)
		}
	}
}

// pipe returns an end of a pipe whose other end is open, too.
func pipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}

// TestManifest: there is one at every moment, unless there is no room for two.
func TestManifest(t *testing.T) {
	for _, limit := range []int{2, 1} {
		st, m, _ := newStore(t, limit)
		for range 3 {
			st.WriteManifest(t.Context(), 0, parcel.Entry{Kind: protocol.KindGeneration, Payload: payload(1)})
			if n := stored(t, st, m, protocol.ManifestPrefix); n != 1 {
				t.Errorf("with room for %d there are %d", limit, n)
			}
		}
		before := m.Stored()
		st.LeaveManifest()
		st.WriteManifest(t.Context(), 0)
		for name := range m.Stored() {
			if before[name] == nil {
				t.Error("one that is the next generation's was replaced")
			}
		}
		st.KeepManifest()
		st.WriteManifest(t.Context(), 0, parcel.Entry{Kind: protocol.KindGeneration, Payload: payload(1)})
		stored(t, st, m, "")
		for name := range m.Stored() {
			if before[name] != nil {
				t.Error("it was not replaced after it was taken back")
			}
		}
	}
}

// TestOutgoing: an Outgoing keeps entries of the store free, removes a parcel that nothing
// was put in, and takes nothing after its end.
func TestOutgoing(t *testing.T) {
	st, m, _ := newStore(t, 2)
	first := parcel.Entry{Kind: protocol.KindGeneration, Payload: payload(1)}
	if _, err := st.OpenOutgoing(t.Context(), first, 2, false); !errors.Is(err, report.ErrNotKept) {
		t.Errorf("with no room for what follows: %v", err)
	}
	out, err := st.OpenOutgoing(t.Context(), first, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := stored(t, st, m, protocol.ParcelPrefix); n != 1 {
		t.Errorf("%d parcels before anything is put in", n)
	}
	if err := out.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := stored(t, st, m, protocol.ParcelPrefix); n != 0 {
		t.Errorf("%d parcels are left with nothing in them", n)
	}
	done := 0
	e := parcel.Entry{Kind: "conn", Payload: payload(1), Descriptors: []syscall.Conn{pipe(t)}}
	if err := out.Put(t.Context(), e, func(error) { done++ }); !errors.Is(err, report.ErrDraining) || done != 0 {
		t.Errorf("put after the end: %v, done was called %d times", err, done)
	}

	if out, err = st.OpenOutgoing(t.Context(), first, 1, false); err != nil {
		t.Fatal(err)
	}
	if err := out.Put(t.Context(), e, func(err error) {
		if done++; err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	out.Flush(context.Background())
	if err := out.Close(t.Context()); err != nil || done != 1 {
		t.Errorf("close: %v, done was called %d times", err, done)
	}
	if n := stored(t, st, m, protocol.ParcelPrefix); n != 1 {
		t.Errorf("%d parcels are left", n)
	}
}

// TestSpareDescriptors: they make room for as many others.
func TestSpareDescriptors(t *testing.T) {
	leaktest.Check(t)
	var s SpareDescriptors
	s.Fill()
	if len(s) != spare {
		t.Errorf("there are %d, want %d", len(s), spare)
	}
	s.Release()
	s.Release()
	if len(s) != 0 {
		t.Errorf("%d are left", len(s))
	}
}
