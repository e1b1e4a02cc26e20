package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// busyPool has a pool of three workers, all of them busy.
func busyPool(t *testing.T, f func(t *testing.T, p *pool, w *farm)) {
	poolTest(t, usual, func(t *testing.T, p *pool, w *farm) {
		for i := range 3 {
			give(p)
			w.all()[i].take()
			synctest.Wait()
		}
		f(t, p, w)
	})
}

// told counts the workers that were told to finish.
func told(w *farm) (n int) {
	for _, f := range w.all() {
		if f.told() {
			n++
		}
	}
	return n
}

// Each old worker is told to finish only once a new one is warm, and one by one.
func TestReplace(t *testing.T) {
	busyPool(t, func(t *testing.T, p *pool, w *farm) {
		w.set(nil, true)
		done := make(chan error, 1)
		go func() { done <- p.replace(t.Context()) }()
		for i := range 3 {
			if c := count(p); len(w.all()) != 4+i || told(w) != i || c.live != 4 {
				t.Fatalf("step %d: %d workers were started, %d told to finish, %+v", i, len(w.all()), told(w), c)
			}
			w.all()[3+i].becomeIdle()
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if c := count(p); told(w) != 3 || c.live != 3 || c.leaving != 3 {
			t.Errorf("%d were told to finish, %+v, want 3 that leave and 3 live", told(w), c)
		}
		for _, f := range w.all()[:3] {
			f.done()
		}
		if c := count(p); c.leaving != 0 {
			t.Errorf("the old workers are still there: %+v", c)
		}
	})
}

// With a program that does not work the old workers go on.
func TestReplaceFails(t *testing.T) {
	poolTest(t, usual, func(t *testing.T, p *pool, w *farm) {
		bad := errors.New("no such program")
		w.set(bad, false)
		if err := p.replace(t.Context()); !errors.Is(err, bad) {
			t.Errorf("got %v, want %v", err, bad)
		}
		if c := count(p); told(w) != 0 || c.live != 1 {
			t.Fatalf("%d old workers were told to finish, %+v", told(w), c)
		}
		// The next try has not to wait for the end of the pause.
		w.set(nil, false)
		began := time.Now()
		if err := p.replace(t.Context()); err != nil || time.Since(began) != 0 || told(w) != 1 {
			t.Errorf("after %v: %v, %d old workers were told to finish", time.Since(began), err, told(w))
		}
	})
}

// A replacement that is given up leaves no worker behind.
func TestReplaceIsGivenUp(t *testing.T) {
	poolTest(t, usual, func(t *testing.T, p *pool, w *farm) {
		w.set(nil, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.replace(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if c := count(p); told(w) != 1 || w.all()[0].told() || c.live != 1 {
			t.Errorf("%d were told to finish, the old one: %v; %+v", told(w), w.all()[0].told(), c)
		}
	})
}

// Workers that do not finish do not pile up, and are killed in the end.
func TestReplaceWaitsForThoseThatLeave(t *testing.T) {
	busyPool(t, func(t *testing.T, p *pool, w *farm) {
		if err := p.replace(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := p.replace(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d != usual.drain {
			t.Errorf("the second replacement took %v, want %v", d, usual.drain)
		}
	})
}

func TestCloseKills(t *testing.T) {
	busyPool(t, func(t *testing.T, p *pool, w *farm) {
		unserved := give(p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "workers were killed") {
			t.Errorf("got %v", err)
		}
		if unserved.closed != 1 {
			t.Error("the connection that waited for a worker is open")
		}
	})
}
