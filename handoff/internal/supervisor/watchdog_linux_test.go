package supervisor

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestHeldUp: a sign of life that waits in its socket counts, though it is read only
// after the watchdog ran out; one that is not there does not.
func TestHeldUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		alive bool
	}{{"a sign waits", true}, {"none waits", false}} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			s, err := newSupervisor(Options{Program: []string{"true"}})
			if err != nil {
				t.Fatal(err)
			}
			p := s.newInstance(1, "", time.Now())
			p.Generation = fakeGeneration{pid: 7, alive: true}
			if p.receiver, err = notify.Listen(filepath.Join(t.TempDir(), "notify")); err != nil {
				t.Fatal(err)
			}
			defer p.receiver.Close()
			s.setManager(nil)
			s.manager.Restore(manager.State{})
			defer s.manager.Close()
			p.watchdog.setLimit(50 * time.Millisecond)
			if c.alive {
				n, err := notify.Options{Environ: []string{"NOTIFY_SOCKET=" + p.receiver.Addr()}}.Open()
				if err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				if err := n.Send(t.Context(), notify.WatchdogPing()); err != nil {
					t.Fatal(err)
				}
			}
			s.o.NotifyAccess = NotifyAll // it is this process that speaks
			(<-s.calls)()                // the timer's
			began := time.Now()
			hearing := newLoop(func(ctx context.Context) { s.receiveNotifications(ctx, p) })
			defer hearing.halt()
			for deadline := time.After(30 * time.Second); p.watchdog.timer != nil && !p.watchdog.last.After(began); {
				select {
				case f := <-s.calls:
					f()
				case <-deadline:
					t.Fatal("nothing comes of it")
				}
			}
			if alive := p.watchdog.timer != nil; alive != c.alive {
				t.Errorf("taken for alive: %v", alive)
			}
			p.stopTimers()
			close(s.ended)
		})
	}
}
