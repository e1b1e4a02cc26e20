package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// killTimeout is how long the end of a process that was killed may take.
const killTimeout = 5 * time.Second

// replace puts new workers, from the program that is on disk now, in the place of
// all those that there are. Each new one is warm before an old one is told to
// finish. It returns when the last one was told; some may have work left.
//
// An error means that a new worker did not get warm, or that ctx has ended. The old
// ones that are left go on.
func (p *pool) replace(ctx context.Context) error {
	p.change(func() {
		p.epoch++
		p.failures = 0
		p.resume()
	})
	for {
		var next *worker
		err := p.await(ctx, func() bool {
			if p.closed || p.outdated() == nil {
				return true
			}
			if len(p.leaving) >= p.limit {
				return false // as many as there may be have not finished yet
			}
			next = p.spawn()
			return true
		})
		if next == nil {
			return err
		}
		if err := p.awaitWarm(ctx, next); err != nil {
			p.change(func() { p.retire(next) })
			return fmt.Errorf("new worker: %w", err)
		}
		p.change(func() {
			if old := p.outdated(); old != nil {
				p.retire(old)
			}
		})
	}
}

// outdated returns a worker that is to be replaced, rather an idle one, or nil. It is
// called under the lock.
func (p *pool) outdated() *worker {
	for _, w := range slices.Concat(p.idle, slices.Collect(maps.Keys(p.live))) {
		if w.epoch < p.epoch {
			return w
		}
	}
	return nil
}

// retire has w finish what it does, and end. It is called under the lock.
func (p *pool) retire(w *worker) {
	if _, ok := p.live[w]; !ok {
		return
	}
	p.remove(w)
	p.leaving[w] = struct{}{}
	w.timer.Stop()
	w.timer = time.AfterFunc(p.drain, func() {
		p.change(func() {
			p.log.Warn("a worker is killed: it has not finished", "after", p.drain)
			w.kill("not finished in time")
		})
	})
	if w.process != nil {
		w.process.finish()
	}
}

// close waits until every connection has a worker, has the workers finish, and
// returns when they have ended. When ctx ends before that they are killed, which is
// an error.
func (p *pool) close(ctx context.Context) error {
	p.await(ctx, func() bool { return p.waiting == 0 })
	p.change(func() {
		p.closed = true
		p.resume()
		for w := range p.live {
			p.retire(w)
		}
	})
	ended := func() bool { return len(p.leaving) == 0 && p.waiting == 0 }
	if p.await(ctx, ended) == nil {
		return nil
	}
	p.change(func() {
		for w := range p.leaving {
			w.kill("not finished in time")
		}
	})
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTimeout)
	defer cancel()
	return errors.Join(fmt.Errorf("workers were killed: %w", context.Cause(ctx)), p.await(last, ended))
}
