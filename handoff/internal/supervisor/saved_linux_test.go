package supervisor

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
	"github.com/holdfast-go/holdfast/handoff/internal/storeserver"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestSavedState: what the supervisor saves has every field, and the one that goes on
// from it saves the same. A field that is declared, and then forgotten where the state
// is written or read back, fails here.
func TestSavedState(t *testing.T) {
	t.Run("everything", func(t *testing.T) {
		leaktest.Check(t)
		goOnFrom(t, populated(t, true), true)
	})
	// It is true of one that has just opened what it got.
	t.Run("a manager that keeps nothing", func(t *testing.T) {
		leaktest.Check(t)
		goOnFrom(t, populated(t, false), false)
	})
}

// goOnFrom saves the state of one supervisor, has another go on from it, and expects
// that to save the same; and, if all is set, that every field has a value.
func goOnFrom(t *testing.T, before *Supervisor, all bool) {
	t.Helper()
	files, gotFiles, laterFiles := new(reexec.Files), new(reexec.Files), new(reexec.Files)
	defer files.Close()
	defer gotFiles.Close()
	defer laterFiles.Close()
	want, err := before.snapshot(files)
	if err != nil {
		t.Fatal(err)
	}
	want.keep(Kept{Data: []byte("clients"), Files: []*os.File{fdtest.Memfd(t)}}, files)
	h := successorOf(t, want, files)
	if all {
		set := make(map[string]bool)
		fields(reflect.ValueOf(*want), "", set)
		expectAllSet(t, set)
	}

	after, err := h.Restore(Options{Program: []string{"program"}})
	if err != nil {
		t.Fatal(err)
	}
	defer after.stops.beside.Wait()
	defer after.close()
	defer close(after.ended) // for those who post
	got, err := after.snapshot(gotFiles)
	if err != nil {
		t.Fatal(err)
	}
	// What runs in time does so from there on.
	if err := after.runner.Open(); err != nil {
		t.Fatal(err)
	}
	if err := after.store.Watch(after.post); err != nil {
		t.Fatal(err)
	}
	after.continueFrom(h.st)
	later, err := after.snapshot(laterFiles)
	if err != nil {
		t.Fatal(err)
	}
	got.Timers = later.Timers
	for i := range got.Processes {
		p := &later.Processes[i]
		got.Processes[i].Alive, got.Processes[i].Guarded, got.Processes[i].Vetted = p.Alive, p.Guarded, p.Vetted
	}
	got.keep(Kept{Data: h.Data, Files: duplicates(t, h.Files)}, gotFiles)

	if got.Reexecs != want.Reexecs+1 {
		t.Errorf("after %d replacements it counts %d", want.Reexecs, got.Reexecs)
	}
	got.Reexecs = want.Reexecs
	got.Header = want.Header
	renumber(t, reflect.ValueOf(got).Elem(), gotFiles.List(), files.List())
	for _, st := range []*state{got, want} {
		for i := range st.Timers {
			st.Timers[i].Left = st.Timers[i].Left.Round(time.Hour)
		}
		for i := range st.Processes {
			st.Processes[i].Alive = st.Processes[i].Alive.Round(time.Hour)
		}
	}
	a, errA := json.MarshalIndent(got, "", " ")
	b, errB := json.MarshalIndent(want, "", " ")
	if err := cmp.Or(errA, errB); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("it goes on with\n%s\nwant\n%s", a, b)
	}
}

// populated returns a supervisor in the midst of everything. keeps says whether the
// service manager does.
func populated(t *testing.T, keeps bool) *Supervisor {
	t.Helper()
	s, err := newSupervisor(Options{Program: []string{"program"}})
	if err != nil {
		t.Fatal(err)
	}
	s.setManager(nil)
	s.manager.Restore(manager.State{Keeps: keeps, Ready: true, Reload: true, Text: "text", Excuses: manager.FailureDetails{"1", "a", "b", "2"}})
	numbers := fdtest.Memfd(t)
	if _, err := numbers.Write(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	stored := []*os.File{numbers, fdtest.Memfd(t), fdtest.Hungup(t)}
	err = s.store.Restore(storeserver.State{
		Entries: []storeserver.EntryState{
			{Name: "state", File: 2, Above: "handoffd.entry.1.state", Owner: 1, Shared: true, Holders: map[uint64]uint64{2: 8}},
			{Name: "conn", File: 3, Above: "handoffd.entry.2p.conn", Polled: true},
		},
		Limit: 7, Target: 2, Drops: map[uint64][]string{3: {"state"}}, Memory: 1, Kept: keeps,
	}, func(place fd.Ref) *os.File { return stored[place-1] })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(s.ended)
		s.sockets = nil
		s.close()
	})
	for _, e := range []generation.Event{
		generation.Start{}, generation.Spawned{Gen: 1}, generation.Ready{Gen: 1},
		generation.Reload{}, generation.Spawned{Gen: 2}, generation.Ready{Gen: 2},
		generation.Reload{Caller: 5}, generation.Spawned{Gen: 3},
	} {
		s.machine.Handle(e) // there is nobody for whom to carry out the effects
	}
	if n := len(s.machine.Generations()); n != 3 {
		t.Fatalf("%d generations", n)
	}
	s.requests.waiting[5], s.requests.last = make(chan Result, 1), 6
	s.launcher.folder = t.TempDir()
	s.history.since, s.history.count = time.Unix(1, 2).UTC(), 3
	s.requests.words = lastWords{Gen: 9, Lines: []string{"last", "words"}}
	s.requests.verdict = Result{
		Verdict:  generation.Verdict{Outcome: Undone, Gen: 9, Reason: "reason"},
		Output:   []string{"output"},
		Time:     time.Unix(3, 4).UTC(),
		Stopping: true,
	}
	s.sockets = []activation.NamedFile{{Name: "http", File: fdtest.Listener(t)}}
	far := func() *time.Timer {
		timer := time.AfterFunc(48*time.Hour, func() {})
		t.Cleanup(func() { timer.Stop() })
		return timer
	}
	s.machine.timers.list[4] = &timer{far(), time.Now().Add(5 * time.Hour)}

	base := t.TempDir()
	s.runner = process.RestoreChildren(process.RunnerState{Cgroups: base, Note: "note"}, s.post, outcomes{s}, s.log)
	for number, st := range map[uint64]process.State{
		1: {Exited: true, Emptied: true},
		2: {Main: true, Reaped: &generation.ExitStatus{Code: 3, Signal: 4}}, // both, for the sake of it
		3: {Main: true},
	} {
		// This process stands for a main process.
		st.PID, st.PGID, st.Cgroup, st.Tail = os.Getpid(), os.Getpid(), filepath.Join(base, fmt.Sprint("gen-", number)), []byte("its tail")
		s.instances[number] = s.populatedInstance(t, number, st)
		s.store.RestorePeer(number, storeserver.PeerState{Committed: true, Awaiting: true}, s.instances[number].orders.deliverer)
	}
	waits := s.instances[2]
	waits.readiness.timer, waits.readiness.until = far(), time.Now().Add(7*time.Hour)
	waits.readiness.vetting = &fakeVetter{}
	s.instances[3].watchdog.timer = far()
	return s
}

// populatedInstance has everything but what runs in time.
func (s *Supervisor) populatedInstance(t *testing.T, number uint64, st process.State) *instance {
	t.Helper()
	p := s.newInstance(number, "/bin/program", time.Unix(5, 6).UTC())
	p.readiness.told, p.watchdog.limit = true, 9*time.Hour
	p.text, p.says = "its text", selfReport{Version: "1.2", Carried: 3, Failure: manager.FailureDetails{"5", "c", "d", "6"}}
	p.orders.resumable, p.orders.releaseTo = true, 4
	p.readiness.doubt = "doubt"
	if err := os.Mkdir(st.Cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(st.Cgroup, "cgroup.events"), []byte("populated 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.receiver, err = notify.Listen(filepath.Join(s.launcher.folder, fmt.Sprint("notify-", number))); err != nil {
		t.Fatal(err)
	}
	var child *os.File
	if p.orders.deliverer, child, err = parcel.NewDeliverer(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Close() })
	ctx := t.Context()
	if _, err := p.orders.deliverer.Deliver(ctx, "conn", fdtest.Memfd(t)); err != nil { // so that there is a last one
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	if p.Generation, err = s.runner.Restore(number, st, func(ref) *os.File { return r }); err != nil {
		t.Fatal(err)
	}
	return p
}

// successorOf returns what the next program finds, with descriptors of its own.
func successorOf(t *testing.T, st *state, files *reexec.Files) *Successor {
	t.Helper()
	st.PID = os.Getpid()
	for _, f := range files.List() {
		st.Descriptors = append(st.Descriptors, raw(t, f))
	}
	memory, err := reexec.Seal(st)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	t.Setenv("HANDOFFD_STATE", strconv.Itoa(raw(t, memory)))
	h, err := Inherit()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fd.CloseAll(h.Files) })
	return h
}

// raw returns a duplicate that nothing closes but who takes it over.
func raw(t *testing.T, f *os.File) (copy int) {
	t.Helper()
	err := fd.With(f, func(old int) (err error) {
		copy, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return copy
}

func duplicates(t *testing.T, files []*os.File) (list []*os.File) {
	t.Helper()
	for _, f := range files {
		d, err := fd.Duplicate(f, f.Name())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}

// fields notes which fields of a state have a value, and which have none.
func fields(v reflect.Value, path string, set map[string]bool) {
	switch v.Type() {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[[]byte]():
		set[path] = set[path] || !v.IsZero()
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			fields(v.Field(i), path+"."+f.Name, set)
		}
	case reflect.Pointer:
		if v.IsNil() {
			v = reflect.New(v.Type().Elem())
		}
		fields(v.Elem(), path, set)
	case reflect.Slice, reflect.Array:
		if v.Len() == 0 {
			fields(reflect.Zero(v.Type().Elem()), path, set)
		}
		for i := range v.Len() {
			fields(v.Index(i), path, set)
		}
	default:
		set[path] = set[path] || !v.IsZero()
	}
}

func expectAllSet(t *testing.T, set map[string]bool) {
	t.Helper()
	var missing []string
	for path, ok := range set {
		if !ok {
			missing = append(missing, path)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 || len(set) < 60 {
		t.Errorf("of %d fields, these have no value anywhere: %q", len(set), missing)
	}
}

// renumber gives the descriptors of one state the places that they have in another.
func renumber(t *testing.T, v reflect.Value, from, to []*os.File) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[time.Time]() {
			for i := range v.NumField() {
				renumber(t, v.Field(i), from, to)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			renumber(t, v.Index(i), from, to)
		}
	case reflect.Int:
		if v.Type() != reflect.TypeFor[ref]() {
			return
		}
		place := slices.IndexFunc(to, func(f *os.File) bool { return fd.Same(f, from[v.Int()-1]) })
		if place < 0 {
			t.Errorf("descriptor %d, %s, is not one from before", v.Int(), from[v.Int()-1].Name())
		}
		v.SetInt(int64(place + 1))
	}
}
