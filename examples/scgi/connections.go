package main

import (
	"context"
	"slices"
	"time"
)

// hasIdle is for await.
func (p *pool) hasIdle() bool { return len(p.idle) > 0 }

// hand gives a connection to the worker that became idle last, and waits for one
// where none is. The pool closes its copy once the worker has taken it. If the
// worker ends before that, another one gets it.
func (p *pool) hand(c connection) {
	p.change(func() { p.waiting++ })
	p.pass(c)
}

func (p *pool) pass(c connection) {
	var w *worker
	p.await(context.Background(), func() bool {
		last := len(p.idle) - 1
		if last < 0 {
			return p.closed
		}
		w = p.idle[last]
		w.conn = c
		p.idle = p.idle[:last]
		p.lowest = min(p.lowest, last)
		p.settle()
		return true
	})
	if w == nil {
		p.log.Warn("a connection is closed: no worker is left")
		c.Close()
		p.change(func() { p.waiting-- })
		return
	}
	if err := w.process.pass(c); err != nil {
		// Rather than to find out what it has got: its end passes c on.
		p.change(func() { w.kill(err.Error()) })
	}
}

// becameIdle is called under the lock, as all those below are.
func (p *pool) becameIdle(w *worker) {
	if _, ok := p.live[w]; !ok {
		return // it has been told to finish
	}
	if w.warm.IsZero() {
		w.warm = time.Now()
		w.timer.Stop()
		p.starting--
		p.idle = slices.Insert(p.idle, 0, w) // those that have worked are preferred
	} else {
		p.idle = append(p.idle, w)
	}
	p.watchIdle()
}

// took is called when w has the connection that it was passed.
func (p *pool) took(w *worker) {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
		p.waiting--
	}
}

// trim ends, every idleTimeout, the idle workers of which none was needed since the
// last time. They are at the front: it is always the last one that gets the next
// connection.
func (p *pool) trim() {
	for range min(p.lowest, len(p.idle)) - p.spare {
		p.retire(p.idle[0])
	}
	p.trimmer = nil
	p.watchIdle()
}

func (p *pool) watchIdle() {
	if p.trimmer == nil && len(p.idle) > p.spare {
		p.lowest = len(p.idle)
		p.trimmer = time.AfterFunc(p.idleTimeout, func() { p.change(p.trim) })
	}
}
