package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A fake is a worker that does what the test tells it.
type fake struct {
	number int
	events chan func(idle, taken func())
	end    chan error
	once   sync.Once

	mu       sync.Mutex
	passed   []connection
	finished bool
	busy     bool // finish waits for the test
}

func (f *fake) run(idle, taken func()) error {
	for {
		select {
		case do := <-f.events:
			do(idle, taken)
		case err := <-f.end:
			return err
		}
	}
}

func (f *fake) pass(c connection) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.finished {
		return syscall.EPIPE
	}
	f.passed = append(f.passed, c)
	return nil
}

func (f *fake) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finished = true
	if !f.busy {
		f.exit(nil)
	}
}

func (f *fake) kill()          { f.exit(errors.New("killed")) }
func (f *fake) exit(err error) { f.once.Do(func() { f.end <- err }) }
func (f *fake) becomeIdle()    { f.events <- func(idle, _ func()) { idle() } }

// take has the worker take what it was passed, and be busy.
func (f *fake) take() {
	f.events <- func(_, taken func()) {
		f.mu.Lock()
		f.busy = true
		f.mu.Unlock()
		taken()
	}
}

// done ends what the worker was busy with.
func (f *fake) done() {
	f.mu.Lock()
	f.busy = false
	finished := f.finished
	f.mu.Unlock()
	if finished {
		f.exit(nil)
		return
	}
	f.becomeIdle()
}

// told reports whether the worker was told to finish.
func (f *fake) told() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.finished
}

// conns returns how many connections the worker was passed.
func (f *fake) conns() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.passed)
}

// A fakeConn counts how often it was closed.
type fakeConn struct{ closed int }

func (c *fakeConn) Close() error                          { c.closed++; return nil }
func (c *fakeConn) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

// A farm has the fakes that a pool has launched, in order.
type farm struct {
	mu    sync.Mutex
	fakes []*fake
	broke error // launching fails
	cold  bool  // new ones do not get warm by themselves
}

func (f *farm) launch() (process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broke != nil {
		return nil, f.broke
	}
	w := &fake{number: len(f.fakes), events: make(chan func(idle, taken func()), 1), end: make(chan error, 1)}
	f.fakes = append(f.fakes, w)
	if !f.cold {
		w.becomeIdle()
	}
	return w, nil
}

func (f *farm) set(broke error, cold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broke, f.cold = broke, cold
}

// all returns the fakes that there are.
func (f *farm) all() []*fake {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.fakes)
}

// counts are of a pool's workers, once it is at rest.
type counts struct{ live, leaving, idle, waiting int }

func count(p *pool) counts {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return counts{len(p.live), len(p.leaving), len(p.idle), p.waiting}
}

// poolTest runs f in a bubble, with a pool that has started.
func poolTest(t *testing.T, o poolOptions, f func(t *testing.T, p *pool, w *farm)) {
	synctest.Test(t, func(t *testing.T) {
		workers := new(farm)
		p := newPool(o, workers.launch, slog.New(slog.DiscardHandler))
		if err := p.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		f(t, p, workers)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		for _, w := range workers.all() {
			w.mu.Lock()
			w.busy = false
			w.mu.Unlock()
		}
		p.close(ctx)
		if c := count(p); c != (counts{}) {
			t.Errorf("after close the pool has %+v", c)
		}
	})
}

// give hands a connection over, and returns when the pool is at rest.
func give(p *pool) *fakeConn {
	c := new(fakeConn)
	go p.hand(c)
	synctest.Wait()
	return c
}

var usual = poolOptions{limit: 3, spare: 1, idleTimeout: time.Minute, drain: 20 * time.Second}

func TestPoolGrowsToItsLimitAndShrinks(t *testing.T) {
	poolTest(t, usual, func(t *testing.T, p *pool, w *farm) {
		if len(w.all()) != 1 {
			t.Fatalf("%d workers at the start, want 1", len(w.all()))
		}
		var conns []*fakeConn
		for i := range 3 {
			conns = append(conns, give(p))
			if want := min(i+2, 3); len(w.all()) != want {
				t.Fatalf("%d workers with %d busy, want %d", len(w.all()), i+1, want)
			}
			if w.all()[i].conns() != 1 {
				t.Fatalf("connection %d is not with worker %d", i, i)
			}
			w.all()[i].take()
		}
		fourth := give(p)
		for _, f := range w.all() {
			if f.conns() != 1 {
				t.Fatal("a busy worker was passed a connection")
			}
		}
		w.all()[1].done()
		synctest.Wait()
		if w.all()[1].conns() != 2 {
			t.Fatal("the connection that waited is not with the worker that is idle")
		}
		w.all()[1].take()
		synctest.Wait()
		for i, c := range append(conns, fourth) {
			if c.closed != 1 {
				t.Errorf("connection %d was closed %d times, want once", i, c.closed)
			}
		}
		for _, i := range []int{2, 0, 1} {
			w.all()[i].done()
			synctest.Wait()
		}
		// The one that became idle last is preferred, again and again, while those
		// that are not needed end: all but the spare one.
		for range 10 {
			give(p)
			w.all()[1].take()
			time.Sleep(10 * time.Second)
			w.all()[1].done()
			synctest.Wait()
		}
		if got := []int{w.all()[0].conns(), w.all()[1].conns(), w.all()[2].conns()}; got[0] != 1 || got[1] != 12 || got[2] != 1 {
			t.Errorf("connections of each worker: %v, want 1, 12, 1", got)
		}
		if c := count(p); len(w.all()) != 3 || c.live != 2 || w.all()[0].told() || !w.all()[2].told() {
			t.Errorf("of %d workers are left %+v, want of 3 the busy one and a spare one", len(w.all()), c)
		}
		time.Sleep(2 * usual.idleTimeout)
		if c := count(p); c.live != 1 || w.all()[1].told() {
			t.Errorf("when nothing happens there are %+v, want the spare one", c)
		}
	})
}

func TestPoolPassesOnWhatNobodyTook(t *testing.T) {
	poolTest(t, usual, func(t *testing.T, p *pool, w *farm) {
		c := give(p)
		w.all()[0].exit(errors.New("crashed"))
		synctest.Wait()
		if w.all()[1].conns() != 1 || c.closed != 0 {
			t.Fatalf("the connection of a worker that died before it took it: %d with the next, closed %d times", w.all()[1].conns(), c.closed)
		}
		w.all()[1].take()
		w.all()[1].exit(errors.New("crashed"))
		synctest.Wait()
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, f := range w.all()[2:] {
			if f.conns() != 0 {
				t.Error("a connection was passed on that a worker had taken")
			}
		}
	})
}

func TestPoolBacksOff(t *testing.T) {
	poolTest(t, usual, func(t *testing.T, p *pool, w *farm) {
		// crash ends the worker, and returns after what time there is another one.
		crash := func() time.Duration {
			synctest.Wait()
			began, number := time.Now(), len(w.all())
			w.all()[number-1].exit(errors.New("crashed"))
			for len(w.all()) == number {
				time.Sleep(backoffFirst)
				synctest.Wait()
			}
			return time.Since(began)
		}
		for i := range 10 {
			if d, want := crash(), min(backoffFirst<<i, backoffMost); d != want {
				t.Errorf("after failure %d the next worker comes after %v, want %v", i+1, d, want)
			}
		}
		time.Sleep(backoffForget + 1)
		if d := crash(); d != backoffFirst {
			t.Errorf("after a good while the next worker comes after %v, want %v", d, backoffFirst)
		}
	})
}

func TestPoolKillsWhatDoesNotGetWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &farm{cold: true}
		p := newPool(usual, w.launch, slog.New(slog.DiscardHandler))
		began := time.Now()
		err := p.start(t.Context())
		if err == nil || err.Error() != "not warm in time: killed" || time.Since(began) != startTimeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestPoolDoesNotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &farm{broke: errors.New("no such program")}
		p := newPool(usual, w.launch, slog.New(slog.DiscardHandler))
		if err := p.start(t.Context()); !errors.Is(err, w.broke) {
			t.Errorf("got %v, want %v", err, w.broke)
		}
		if err := p.close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
