package supervisor

import (
	"errors"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestDeaf: while this program is being replaced, and ignores signals for that, it makes
// no child, which would inherit that. Where it goes on, the manager does not wait for
// what follows from a signal that was ignored.
func TestDeaf(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + m.Socket()}}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s, err := newSupervisor(Options{Program: []string{"program"}})
	if err != nil {
		t.Fatal(err)
	}
	s.setManager(n)
	s.manager.Restore(manager.State{Ready: true})
	defer s.manager.Close()
	if _, err := s.store.Inherit(nil); err != nil {
		t.Fatal(err)
	}
	defer s.store.Close()
	for _, e := range []generation.Event{generation.Start{}, generation.Spawned{Gen: 1}, generation.Ready{Gen: 1}} {
		s.machine.Handle(e) // there is nobody for whom to carry out the effects
	}
	runner := &fakeRunner{}
	s.runner = runner
	running := make(chan struct{})
	go func() {
		defer close(running)
		for f := range s.calls {
			f()
		}
	}()

	made := func(when string) {
		if !runner.halted {
			t.Errorf("%s children are made", when)
		}
	}
	times := 0
	deafen := func() (listen func()) {
		made("at first")
		return func() { made("at last"); times++ }
	}
	nothing := errors.New("nothing is kept")
	keep := func([]uint64) (Kept, error) { made("meanwhile"); return Kept{}, nothing }
	if err := s.replace(t.Context(), Image{Deafen: deafen, Keep: keep}); !errors.Is(err, nothing) || times != 1 {
		t.Errorf("it ends with %v, and listens %d times", err, times)
	}
	if runner.halted {
		t.Error("no child is made any more")
	}
	close(s.calls)
	<-running
	m.WaitFor(t.Context(), "RELOADING=1")
	m.WaitFor(t.Context(), "READY=1")
}
