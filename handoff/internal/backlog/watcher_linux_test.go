package backlog

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

const inTime = time.Minute // bounds every wait

var quick = Options{Pause: 5 * time.Millisecond, After: 20 * time.Millisecond}

// A scene is a listener that is watched.
type scene struct {
	*testing.T
	net.Listener
	states chan State
}

func watch(t *testing.T, network string, o Options) *scene {
	t.Helper()
	leaktest.Check(t)
	ln, f := fdtest.Listening(t, network)
	defer f.Close() // the Watcher has its own
	s := &scene{t, ln, make(chan State, 100)}
	w, err := Watch([]activation.NamedFile{{Name: "web", File: f}}, o, func(st State) { s.states <- st })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return s
}

func (s *scene) dial() net.Conn {
	s.Helper()
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
	return c
}

func (s *scene) accept() {
	s.Helper()
	c, err := s.Accept()
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Close() })
}

// await returns the next State that is as wanted.
func (s *scene) await(what string, ok func(State) bool) State {
	s.Helper()
	timeout := time.After(inTime)
	for {
		select {
		case st := <-s.states:
			if ok(st) {
				return st
			}
		case <-timeout:
			s.Fatalf("not told: %s", what)
		}
	}
}

var networks = []string{"tcp", "unix"}

// TestStuck: that nobody accepts is told, with how many wait and since when, and that
// somebody does again, and all that more than once.
func TestStuck(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			s := watch(t, network, quick)
			for range 2 {
				began := time.Now()
				s.dial()
				s.dial()
				st := s.await("two wait", func(st State) bool { return st.Stuck() && st.Waiting == 2 && !st.Since.Before(began) })
				if st.Name != "web" || st.Address != s.Addr().String() || st.Since.After(time.Now()) {
					t.Errorf("got %+v (%v)", st, st)
				}
				s.dial()
				s.await("three wait", func(st State) bool { return st.Stuck() && st.Waiting == 3 })
				s.accept()
				s.await("somebody accepts", func(st State) bool { return !st.Stuck() && st.Waiting == 0 })
				s.accept()
				s.accept()
			}
		})
	}
}

// TestImpatient: clients that lose patience and close do not make it look as if
// somebody accepted.
func TestImpatient(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			s := watch(t, network, quick)
			s.dial().Close()
			s.await("one waits", func(st State) bool { return st.Stuck() && st.Waiting == 1 })
		})
	}
}

// TestBusy: a queue that is never empty is not one from which nobody takes.
func TestBusy(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			o := Options{Pause: quick.Pause, After: 500 * time.Millisecond}
			s := watch(t, network, o)
			const depth, rounds = 8, 200
			for range depth {
				s.dial()
			}
			last, longest := time.Now(), time.Duration(0)
			for range rounds {
				s.dial() // before one is taken: the queue is never shorter than depth
				c, err := s.Accept()
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				longest, last = max(longest, time.Since(last)), time.Now()
				time.Sleep(quick.Pause) // for the Watcher to look
			}
			if n := len(s.states); n > 0 && longest < o.After {
				t.Errorf("%d times nobody seemed to accept, though somebody did every %v", n, longest)
			}
		})
	}
}

// TestQueues: whoever was noted and then accepted is taken.
func TestQueues(t *testing.T) {
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "socket")
			}
			ln, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			f, err := ln.(interface{ File() (*os.File, error) }).File()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			q, at := newQueue(f, int(f.Fd()))
			if q == nil || at != ln.Addr().String() {
				t.Fatalf("no queue at %q", at)
			}
			s := &scene{T: t, Listener: ln}
			if n, err := q.length(); n != 0 || err != nil {
				t.Errorf("%d wait, %v", n, err)
			}
			if found, err := q.note(); found || err != nil {
				t.Errorf("somebody waits, %v", err)
			}
			s.dial()
			s.dial()
			if n, err := q.length(); n != 2 || err != nil {
				t.Errorf("%d wait, %v", n, err)
			}
			found, err := q.note()
			if !found || err != nil {
				t.Errorf("nobody waits, %v", err)
			}
			var takes []bool
			for range 2 {
				taken, err := q.taken()
				if err != nil {
					t.Fatal(err)
				}
				takes = append(takes, taken)
				s.accept()
			}
			if !slices.Equal(takes, []bool{false, true}) {
				t.Errorf("taken before and after it was accepted: %v", takes)
			}
		})
	}
}

// TestNoListeners: what is no listener is not watched.
func TestNoListeners(t *testing.T) {
	leaktest.Check(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	watcher, err := Watch([]activation.NamedFile{{Name: "pipe", File: r}}, Options{}, func(State) {})
	if err != nil {
		t.Fatal(err)
	}
	watcher.Close()
	if len(watcher.listeners) != 0 {
		t.Error("it watches a pipe")
	}
}
