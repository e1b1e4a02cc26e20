package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fake is a worker that does what its jobs say: "end" ends it, "stay" goes on until it
// is killed, and any other is answered after a second.
type fake struct {
	gone chan struct{}
	once sync.Once
	err  error
}

func newFake() *fake { return &fake{gone: make(chan struct{})} }

func (f *fake) stop(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.gone)
	})
}

var errFake = errors.New("fake: it ended")

func (f *fake) ask(job string) (string, error) {
	switch job {
	case "end":
		f.stop(errFake)
	case "stay":
	default:
		time.Sleep(time.Second)
		return wordOK + " " + job, nil
	}
	<-f.gone
	return "", f.err
}

func (f *fake) ended() <-chan struct{} { return f.gone }
func (f *fake) end() error             { <-f.gone; return f.err }
func (f *fake) finish()                { f.stop(nil) }
func (f *fake) kill()                  { f.stop(errors.New("fake: killed")) }

// A poolTest is a pool with fakes, which runs.
type poolTest struct {
	*pool
	mu       sync.Mutex
	launched []*fake
	stop     func() // and wait until no worker is left
}

func startPool(t *testing.T, size int) *poolTest {
	t.Helper()
	pt := &poolTest{}
	launch := func(context.Context) (worker, error) {
		pt.mu.Lock()
		defer pt.mu.Unlock()
		f := newFake()
		pt.launched = append(pt.launched, f)
		return f, nil
	}
	pt.pool = newPool(size, time.Minute, launch, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err := pt.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pt.run(ctx)
	}()
	pt.stop = func() {
		cancel()
		<-ended
		for _, f := range pt.launched {
			<-f.gone
		}
	}
	return pt
}

func (pt *poolTest) count() int {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	return len(pt.launched)
}

func TestPoolDoesJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, 3)
		began := time.Now()
		var jobs sync.WaitGroup
		for range 9 {
			jobs.Go(func() {
				if answer, err := p.do(t.Context(), "x"); answer != "ok x" || err != nil {
					t.Errorf("%q, %v", answer, err)
				}
			})
		}
		jobs.Wait()
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("3 workers took %v for 9 jobs of a second each", d)
		}
		p.stop()
		if p.count() != 3 {
			t.Errorf("%d workers were started", p.count())
		}
	})
}

func TestPoolTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, 2)
		_, err := p.do(t.Context(), "end")
		if !errors.Is(err, errFake) || !strings.Contains(err.Error(), "3 workers ended with it") {
			t.Errorf("a job that ends its workers: %v", err)
		}
		if answer, err := p.do(t.Context(), "x"); answer != "ok x" || err != nil {
			t.Errorf("the next job: %q, %v", answer, err)
		}
		// A job whose worker was ended by something else.
		var jobs sync.WaitGroup
		p.mu.Lock()
		before := p.launched[len(p.launched)-1]
		p.mu.Unlock()
		for range 2 {
			jobs.Go(func() {
				if answer, err := p.do(t.Context(), "y"); answer != "ok y" || err != nil {
					t.Errorf("%q, %v", answer, err)
				}
			})
		}
		before.kill()
		jobs.Wait()
		p.stop()
	})
}

// TestPoolBacksOff: workers that end at once are not started without a pause, and one that
// has done a job ends the pauses.
func TestPoolBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, 1)
		killed := 0
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			p.mu.Lock()
			p.launched[len(p.launched)-1].kill()
			p.mu.Unlock()
		}
		killed = p.count()
		if killed > 14 { // after 0.1, 0.2, 0.4 ... 6.4 and then every 10 s
			t.Errorf("%d workers were started in a minute", killed)
		}
		if _, err := p.do(t.Context(), "x"); err != nil {
			t.Error(err)
		}
		began := time.Now()
		p.mu.Lock()
		p.launched[len(p.launched)-1].kill()
		p.mu.Unlock()
		if _, err := p.do(t.Context(), "x"); err != nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		p.stop()
	})
}

// TestPoolEnds: jobs that a worker has are finished, and the others are not begun.
func TestPoolEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 3)
		for _, job := range []string{"x", "stay"} {
			go func() { _, err := p.do(ctx, job); results <- err }()
			synctest.Wait()
		}
		go func() { _, err := p.do(ctx, "late"); results <- err }()
		synctest.Wait()
		began := time.Now()
		stopped := make(chan struct{})
		cancel()
		go func() { defer close(stopped); p.stop() }()
		if err := <-results; err != errNotDone || time.Since(began) != 0 {
			t.Errorf("a job that no worker has: %v after %v", err, time.Since(began))
		}
		if err := <-results; err != nil || time.Since(began) != time.Second {
			t.Errorf("a job of a second: %v after %v", err, time.Since(began))
		}
		if err := <-results; err != errNotDone || time.Since(began) != p.drain {
			t.Errorf("a job that goes on: %v after %v", err, time.Since(began))
		}
		<-stopped

		// As when this generation resumes.
		ctx, again := context.WithCancel(t.Context())
		stopped = make(chan struct{})
		go func() { defer close(stopped); p.run(ctx) }()
		if answer, err := p.do(ctx, "x"); answer != "ok x" || err != nil {
			t.Errorf("run again: %q, %v", answer, err)
		}
		again()
		<-stopped
	})
}

// TestPoolWaits: a job whose worker is ended with run waits for the next run, as long as its
// caller does.
func TestPoolWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPool(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { _, err := p.do(ctx, "stay"); result <- err }()
		synctest.Wait()
		p.stop()
		synctest.Wait()
		if len(result) > 0 {
			t.Fatalf("before its caller gives up: %v", <-result)
		}
		cancel()
		if err := <-result; err != errNotDone {
			t.Errorf("error %v, want %v", err, errNotDone)
		}
	})
}

func TestPoolDoesNotStart(t *testing.T) {
	first := make(chan *fake, 1)
	n := 0
	var mu sync.Mutex
	p := newPool(3, time.Minute, func(context.Context) (worker, error) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n > 1 {
			return nil, errFake
		}
		f := newFake()
		first <- f
		return f, nil
	}, slog.Default())
	if err := p.start(t.Context()); !errors.Is(err, errFake) {
		t.Errorf("start: %v", err)
	}
	<-(<-first).gone
}
