package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = time.Minute // of a worker, until it is warm
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 10 * time.Second

	// A worker that was warm for longer than this did not fail for the reason for
	// which those before it did.
	backoffForget = 10 * time.Second
)

type poolOptions struct {
	limit       int           // the most workers; while they are replaced one more
	spare       int           // how many idle ones there should be
	idleTimeout time.Duration // how long more than these stay
	drain       time.Duration // how long a worker may take to finish
}

// A process is a worker's. The pool calls run once.
type process interface {
	// run returns when the process has ended, and says how. Meanwhile it tells
	// what the worker says: idle is called when it is warm and after each
	// connection, taken once a connection that was passed is the worker's.
	run(idle, taken func()) error

	// pass gives the worker a copy of a connection. An error means that it does
	// not get it.
	pass(connection) error

	finish() // has it finish what it does, and end
	kill()
}

// A connection is an accepted one.
type connection interface {
	syscall.Conn
	Close() error
}

// A pool keeps the workers: it starts them, knows which are idle, and makes up for
// those that end. Whoever waits for a change in it does so by await.
type pool struct {
	poolOptions
	launch func() (process, error)
	log    *slog.Logger

	mu       sync.Mutex
	changed  chan struct{}        // closed at every change, and made anew
	live     map[*worker]struct{} // starting, idle and busy
	leaving  map[*worker]struct{} // told to finish
	idle     []*worker            // of live; the next connection is for the last of them
	starting int                  // how many of live are not warm yet
	waiting  int                  // connections that no worker has taken
	epoch    int                  // how often the workers were replaced
	failures int                  // in a row
	pause    *time.Timer          // until workers are started again; nil: they are
	trimmer  *time.Timer          // for trim; nil: there are no idle workers too many
	lowest   int                  // the fewest idle workers since it was set
	closed   bool
}

func newPool(o poolOptions, launch func() (process, error), log *slog.Logger) *pool {
	return &pool{
		poolOptions: o, launch: launch, log: log, changed: make(chan struct{}),
		live: make(map[*worker]struct{}), leaving: make(map[*worker]struct{}),
	}
}

// A worker is one of a pool's, whose lock is for these fields too.
type worker struct {
	epoch   int
	process process     // nil until it was started
	conn    connection  // passed to it, and not taken yet
	warm    time.Time   // since when; zero: it is not yet
	timer   *time.Timer // kills it if it does not get warm, or does not finish
	killed  string      // why, if it was
	ended   bool
	err     error // how it ended
}

// await returns once done does with true. It is called under the lock, at once and
// after every change. The error is why ctx has ended.
func (p *pool) await(ctx context.Context, done func() bool) error {
	for {
		p.mu.Lock()
		ok, changed := done(), p.changed
		p.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// change has f change the pool. It then starts the workers that are missing, and
// wakes those who wait.
func (p *pool) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.settle()
}

func (p *pool) settle() {
	for !p.closed && p.pause == nil && len(p.idle)+p.starting < p.spare && len(p.live) < p.limit {
		p.spawn()
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// start begins, and returns when the first workers are warm.
func (p *pool) start(ctx context.Context) error {
	var first []*worker
	p.change(func() {
		p.settle()
		first = slices.Collect(maps.Keys(p.live))
	})
	for _, w := range first {
		if err := p.awaitWarm(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// awaitWarm returns when w is warm, or with the reason for which it will not be.
func (p *pool) awaitWarm(ctx context.Context, w *worker) (err error) {
	if e := p.await(ctx, func() bool { err = w.err; return w.ended || !w.warm.IsZero() }); e != nil {
		return e
	}
	return err
}

// spawn starts a worker. It is called under the lock.
func (p *pool) spawn() *worker {
	w := &worker{epoch: p.epoch}
	w.timer = time.AfterFunc(startTimeout, func() { p.change(func() { w.kill("not warm in time") }) })
	p.live[w] = struct{}{}
	p.starting++
	go func() {
		process, err := p.launch()
		if err == nil {
			p.change(func() { p.begin(w, process) })
			err = process.run(
				func() { p.change(func() { p.becameIdle(w) }) },
				func() { p.change(func() { p.took(w) }) })
		}
		p.change(func() { p.ended(w, err) })
	}()
	return w
}

// begin is called under the lock, as all those below are.
func (p *pool) begin(w *worker, process process) {
	w.process = process
	if w.killed != "" {
		process.kill()
	} else if _, leaves := p.leaving[w]; leaves {
		process.finish()
	}
}

func (w *worker) kill(why string) {
	w.killed = why
	if w.process != nil {
		w.process.kill()
	}
}

// remove takes w off all lists.
func (p *pool) remove(w *worker) {
	if _, ok := p.live[w]; ok && w.warm.IsZero() {
		p.starting--
	}
	delete(p.live, w)
	delete(p.leaving, w)
	p.idle = slices.DeleteFunc(p.idle, func(i *worker) bool { return i == w })
}

func (p *pool) ended(w *worker, err error) {
	_, unasked := p.live[w]
	p.remove(w)
	w.timer.Stop()
	switch {
	case w.killed != "":
		err = fmt.Errorf("%s: %w", w.killed, err)
	case err == nil && unasked:
		err = errors.New("exit status 0")
	}
	w.ended, w.err = true, err
	if w.conn != nil {
		go p.pass(w.conn) // which nobody has read from
		w.conn = nil
	}
	if unasked {
		p.backOff(w)
	}
}

// backOff is called when w has ended without having been told to: before others are
// started in its place it waits, for longer each time.
func (p *pool) backOff(w *worker) {
	if p.pause != nil {
		p.log.Warn("another worker has ended", "error", w.err)
		return
	}
	if !w.warm.IsZero() && time.Since(w.warm) > backoffForget {
		p.failures = 0
	}
	delay := min(backoffFirst<<min(p.failures, 16), backoffMost)
	p.failures++
	p.pause = time.AfterFunc(delay, func() { p.change(p.resume) })
	p.log.Warn("a worker has ended", "error", w.err, "failures", p.failures, "next", delay)
}

// resume ends the pause of backOff.
func (p *pool) resume() {
	if p.pause != nil {
		p.pause.Stop()
		p.pause = nil
	}
}
