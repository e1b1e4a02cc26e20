package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	program = "holdfast-grpc"
	address = "127.0.0.1:8082"
)

const (
	restarts = 10
	between  = 8 // steps of each worker from one restart to the next, at least
)

// A worker makes calls until stop is closed.
type worker struct {
	dial  dialer
	stop  <-chan struct{}
	steps atomic.Int64
	ended atomic.Int64 // streams that the server ended with OK
}

func (w *worker) stopped() bool {
	select {
	case <-w.stop:
		return true
	default:
		return false
	}
}

// unary calls Say over and over on one connection.
func (w *worker) unary(ctx context.Context) error {
	c, err := newClient(w.dial, address)
	if err != nil {
		return err
	}
	defer c.cc.Close()
	for ; !w.stopped(); w.steps.Add(1) {
		if err := c.say(ctx, strconv.FormatInt(w.steps.Load(), 10)); err != nil {
			return err
		}
	}
	return nil
}

// fresh calls Say on a new connection each time.
func (w *worker) fresh(ctx context.Context) error {
	for ; !w.stopped(); w.steps.Add(1) {
		c, err := newClient(w.dial, address)
		if err != nil {
			return err
		}
		err = c.say(ctx, "hello")
		c.cc.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// streams calls Talk over and over, and lets each call take a while.
func (w *worker) streams(ctx context.Context) error {
	c, err := newClient(w.dial, address)
	if err != nil {
		return err
	}
	defer c.cc.Close()
	for ; !w.stopped(); w.steps.Add(1) {
		s, err := c.talk(ctx)
		if err != nil {
			return err
		}
		for i := range 5 {
			if err := exchange(s, strconv.Itoa(i)); err != nil {
				return fmt.Errorf("line %d: %w", i, err)
			}
		}
		if err := end(s); err != nil {
			return err
		}
	}
	return nil
}

// endless calls Ticks, and when that ends goes on from where it was.
func (w *worker) endless(ctx context.Context) error {
	c, err := newClient(w.dial, address)
	if err != nil {
		return err
	}
	defer c.cc.Close()
	for {
		s, err := c.ticks(ctx, w.steps.Load())
		if err != nil {
			return err
		}
		for {
			n, err := s.Recv()
			if err == io.EOF {
				w.ended.Add(1)
				break
			}
			if err != nil {
				return err
			}
			if n.Value != w.steps.Load() {
				return fmt.Errorf("tick %d came, want %d", n.Value, w.steps.Load())
			}
			w.steps.Add(1)
			if w.stopped() {
				return nil
			}
		}
	}
}

// No call fails over restarts, of clients that do nothing for it.
func TestRestartsUnderLoad(t *testing.T) {
	kinds := []struct {
		name    string
		workers int
		work    func(*worker, context.Context) error
	}{
		{"unary", 8, (*worker).unary},
		{"unary on new connections", 4, (*worker).fresh},
		{"streams", 4, (*worker).streams},
		{"endless", 2, (*worker).endless},
	}
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, program)
		m.Systemctl("start", program+".socket")
		ctx, fail := context.WithCancelCause(exampletest.Deadline(t))
		defer fail(nil)
		stop := make(chan struct{})
		workers := make(map[string][]*worker)
		var busy sync.WaitGroup
		for _, k := range kinds {
			for range k.workers {
				w := &worker{dial: m.Dial, stop: stop}
				workers[k.name] = append(workers[k.name], w)
				busy.Go(func() {
					if err := k.work(w, ctx); err != nil {
						fail(fmt.Errorf("%s, after %d steps: %w", k.name, w.steps.Load(), err))
					}
				})
			}
		}
		worked := func(n int64) func() bool {
			return func() bool {
				for _, ws := range workers {
					for _, w := range ws {
						if w.steps.Load() < n {
							return false
						}
					}
				}
				return true
			}
		}
		for i := range int64(restarts) {
			exampletest.WaitFor(t, ctx, "calls before a restart", worked((i+1)*between))
			exampletest.Restart(t, m, program+".service")
			for _, w := range workers["endless"] {
				steps := int64(-1) // once the stream has ended
				exampletest.WaitFor(t, ctx, "the end of a stream, and the next one", func() bool {
					if steps < 0 && w.ended.Load() > i {
						steps = w.steps.Load()
					}
					return steps >= 0 && w.steps.Load() > steps
				})
			}
		}
		exampletest.WaitFor(t, ctx, "calls after the last restart", worked((restarts+1)*between))
		close(stop)
		busy.Wait()
		if err := context.Cause(ctx); err != nil {
			t.Fatal(err)
		}
		for _, k := range kinds {
			total := int64(0)
			for _, w := range workers[k.name] {
				total += w.steps.Load()
			}
			t.Logf("%s: %d steps", k.name, total)
		}
	})
}

// A call that outlasts the drain is cut, and the service goes on.
func TestDrainTimeout(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		ctx := exampletest.Deadline(t)
		exampletest.Install(t, m, program)
		m.InstallUnit(program+".service.d/test.conf", "[Service]\nExecStart=\nExecStart=/usr/local/bin/"+program+" -drain-timeout 1s\n")
		m.Systemctl("start", program+".socket")
		c := mustClient(t, m.Dial, address)
		s, err := c.talk(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := exchange(s, "hello"); err != nil {
			t.Fatal(err)
		}
		exampletest.Restart(t, m, program+".service")
		if err := end(s); status.Code(err) != codes.Unavailable {
			t.Errorf("the call that did not end got %v, want Unavailable", err)
		}
		if err := c.say(ctx, "again"); err != nil {
			t.Error(err)
		}
		if log := m.Journal("-u", program+".service"); !strings.Contains(log, "calls were still under way") {
			t.Errorf("the journal does not say that calls were cut:\n%s", log)
		}
	})
}
