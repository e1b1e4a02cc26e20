package handoff

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/units/poll"
)

// undone has g release, and resume since the successor dies before it is given
// anything. If released is false, g resumes though it has not said that it has
// released.
func (m *manager) undone(g *generation, app appConfig, released bool) {
	m.t.Helper()
	next := m.spawn(app)
	next.await("READY=1", 1)
	m.release(g, next, false)
	if released {
		g.replied(parcel.Reply{Released: uint64(next.number)})
		m.reclaim(g)
	} else {
		g.printed("saving")
	}
	next.cmd.Process.Kill()
	next.wait()
	next.close()
	m.resume(g, next)
}

// TestInterruptsWhileResuming: a second SIGINT is heard while State.Resume takes all
// the time that it has, and the state is left for the next generation.
func TestInterruptsWhileResuming(t *testing.T) {
	m := newManager(t)
	m.overlap = true
	addr := m.listen("http", "tcp", "127.0.0.1:0")
	app := appConfig{HTTP: inherited, State: 1}
	stuck := app
	stuck.Crash, stuck.DrainTimeout = "stuck resume", time.Hour
	g := m.start(stuck)
	get(t, addr)
	m.undone(g, app, true)
	g.printed("resume is stuck")
	// Signals of one kind that wait are one, so two may not be enough.
	poll.Until(t, "interrupts are heard", func() bool {
		if slices.Contains(g.said(), "STOPPING=1") {
			return true
		}
		g.signal(os.Interrupt)
		return false
	})
	err := g.wait()
	if out := g.out.String(); err == nil || !strings.Contains(out, `resume state "count"`) || !strings.Contains(out, errHurry.Error()) {
		t.Errorf("it ended with %v:\n%s", err, out)
	}
	if r := g.reported(); len(r) > 0 {
		t.Errorf("reported %q", r)
	}
	g.close()
	m.current = nil
	g = m.start(app)
	g.printed("loaded 1 of version 1")
	g.stop()
}

// TestStopWhileSaving: a service that is told to stop while it has to wait until its
// states are saved, to resume, does not resume: they are the next generation's.
func TestStopWhileSaving(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saving")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := newManager(t)
	m.overlap = true
	addr := m.listen("http", "tcp", "127.0.0.1:0")
	app := appConfig{HTTP: inherited, State: 1}
	long := app
	long.Crash, long.CrashFile, long.DrainTimeout = "long save", file, time.Hour
	g := m.start(long)
	get(t, addr)
	m.undone(g, app, false)
	g.signal(syscall.SIGTERM)
	g.await("STOPPING=1", 1)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	m.commit(nil)
	if err := g.wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	g.close()
	if out := g.out.String(); strings.Contains(out, "resumed") || !strings.Contains(out, "saved 1") {
		t.Errorf("it did not just stop:\n%s", out)
	}
	m.current = nil
	g = m.start(app)
	g.printed("loaded 1 of version 1")
	g.stop()
}
