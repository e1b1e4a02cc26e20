package supervisor

import (
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestGiveUpWhileDraining: a service that gives up on its way out of the rotation, while
// an older generation still drains, ends with that one, and does not wait for undrain.
func TestGiveUpWhileDraining(t *testing.T) {
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
	s.drain.start(0)
	for _, e := range []generation.Event{generation.Exited{Gen: 2}, generation.Emptied{Gen: 2}} {
		s.feed(e)
	}
	select {
	case f := <-s.calls:
		f()
	case <-time.After(time.Minute):
		t.Fatal("the drain goes on")
	}
	for _, e := range []generation.Event{generation.Exited{Gen: 1}, generation.Emptied{Gen: 1}} {
		if s.machine.exit != nil {
			t.Fatal("it ends before the generation that drains")
		}
		s.feed(e)
	}
	if s.machine.exit == nil || s.drain.stage != inRotation {
		t.Errorf("it does not end: %v, %q", s.machine.Situation(), s.drain.stage)
	}
	close(s.ended)
	s.drain.beside.Wait()
}

// TestDrainStages: a drain goes on until nobody is served any more, unless it is not
// wanted any more; then the generations are told so, and why is kept.
func TestDrainStages(t *testing.T) {
	leaktest.Check(t)
	var told []bool
	ends := 0
	d := &drain{
		mainLoop: newMainLoop(),
		sockets:  func() []*os.File { return nil },
		tell:     func(away bool) { told = append(told, away) },
		end:      func() { ends++ },
		changed:  func() {},
		log:      slog.New(slog.DiscardHandler),
	}
	next := func() {
		t.Helper()
		select {
		case f := <-d.calls:
			f()
		case <-time.After(time.Minute):
			t.Fatal("nothing comes of it")
		}
	}
	d.abandon(errStays) // there is none
	d.start(time.Hour)
	d.abandon(errStays)
	next()
	if d.stage != inRotation || d.reason != errStays.Error() || !slices.Equal(told, []bool{true, false}) || ends != 0 {
		t.Errorf("abandoned, it is %q because of %q; told %v, %d ends", d.stage, d.reason, told, ends)
	}
	d.start(0)
	if d.stage != leaving || d.reason != "" {
		t.Errorf("at first it is %q because of %q", d.stage, d.reason)
	}
	next()
	d.abandon(errStays) // too late
	if d.stage != ending || ends != 1 || !slices.Equal(told, []bool{true, false, true}) {
		t.Errorf("then it is %q; told %v, %d ends", d.stage, told, ends)
	}
	d.finish()
	if d.stage != drained {
		t.Errorf("at last it is %q", d.stage)
	}
	close(d.ended)
	d.close()
}
