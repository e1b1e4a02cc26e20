package supervisor

import (
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestGiveUpWhileLeaving: a service that gives up on its way out of the rotation, while
// an older generation still drains, ends with that one, and does not wait for undrain.
func TestGiveUpWhileLeaving(t *testing.T) {
	leaktest.Check(t)
	s, err := newSupervisor(Options{Program: []string{"program"}, Limits: Limits{MaxDeaths: 1}})
	if err != nil {
		t.Fatal(err)
	}
	s.setManager(nil)
	s.manager.Restore(manager.State{})
	defer s.manager.Close()
	for _, e := range []generation.Event{
		generation.Start{}, generation.Spawned{Gen: 1}, generation.Ready{Gen: 1},
		generation.Reload{}, generation.Spawned{Gen: 2}, generation.Ready{Gen: 2},
	} {
		s.machine.Handle(e) // there is nobody for whom to carry out the effects
	}
	s.startLeave(0)
	for _, e := range []generation.Event{generation.Exited{Gen: 2}, generation.Emptied{Gen: 2}} {
		s.feed(e)
	}
	select {
	case f := <-s.calls:
		f()
	case <-time.After(time.Minute):
		t.Fatal("the leave goes on")
	}
	for _, e := range []generation.Event{generation.Exited{Gen: 1}, generation.Emptied{Gen: 1}} {
		if s.exit != nil {
			t.Fatal("it ends before the generation that drains")
		}
		s.feed(e)
	}
	if s.exit == nil || s.leave.stage != stageIn {
		t.Errorf("it does not end: %v, %q", s.machine.Situation(), s.leave.stage)
	}
	close(s.ended)
	s.beside.Wait()
}
