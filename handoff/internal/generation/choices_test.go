package generation

import (
	"fmt"
	"slices"
	"time"
)

// options returns what may happen now, each with a weight.
func (w *world) options(v uint64) []func() {
	var acts []func()
	add := func(e Event, before func()) {
		acts = append(acts, func() {
			if before != nil {
				before()
			}
			if v>>32%32 == 0 {
				w.twin(e)
			} else {
				w.handle(e)
			}
		})
	}
	if !w.started {
		add(Start{Last: v % 3}, func() { w.started = true; w.last = v % 3 })
		return acts
	}
	for _, p := range w.alive() {
		w.processes(p, v, add)
	}
	for _, t := range w.timers {
		if t.Kind != BackoffTimer && t.Kind != ProbationTimer && t.Kind != SettleTimer && !w.mishap(v>>18) {
			continue
		}
		add(TimerFired{t.Timer}, func() { w.firing(t) })
	}
	if w.asking(v, add); v>>40%8 == 0 {
		acts = append(acts, func() { w.store(v) })
	}
	if v>>48%8 == 0 {
		acts = append(acts, func() { w.harmless(w.staleEvent(v)) })
	}
	return acts
}

// mishap reports whether something may go wrong, which it does the less often the
// calmer the world is.
func (w *world) mishap(v uint64) bool { return v%w.calm == 0 }

// processes offers what p may do.
func (w *world) processes(p *proc, v uint64, add func(Event, func())) {
	n := p.number
	if !p.reported && !p.exited {
		add(Spawned{n}, func() { p.reported = true })
		if !p.ready && w.mishap(v>>13) {
			add(SpawnFailed{n, "not found"}, func() { p.reported, p.spawnFailed = true, true })
		}
	}
	if p.spawnFailed {
		return
	}
	if !p.emptied && (p.exited || p.killTold || p.stopTold || w.mishap(v>>22)) {
		add(Emptied{n}, func() { p.emptied = true })
	}
	if p.exited {
		return
	}
	if (p.reported || p.ready) && (p.killTold || p.stopTold || w.mishap(v>>17)) {
		add(Exited{Gen: n, Status: ExitStatus{Code: int(v>>20) % 2}}, func() { p.exited, p.reported = true, true })
	}
	if p.emptied {
		return
	}
	if !p.ready && !p.leaving {
		ready := Ready{Gen: n, Resumable: v>>16%3 != 0}
		for range 3 {
			add(ready, func() { p.ready, p.resumable = true, ready.Resumable; p.reported = true })
		}
	}
	if !p.ready && p.reported && v>>29%8 == 0 {
		add(Waiting{n, "does not listen"}, nil)
	}
	if w.isCandidate(n) && v>>35%4 == 0 && w.mishap(v>>36) {
		add(Unfit{n, "nobody accepts"}, func() { p.silent = true; w.seen["unfit"]++ }) // as good as that
	}
	if p.reported && !p.leaving && v>>24%4 == 0 && w.mishap(v>>25) {
		add(Stopping{Gen: n}, func() { p.leaving = true })
	}
	if (p.ready || w.isCandidate(n)) && !p.silent && v>>26%4 == 0 && w.mishap(v>>27) {
		add(Silent{n}, func() { p.silent = true })
	}
	if v>>28%16 == 0 {
		add(Extend{n, time.Duration(v>>30%3) * time.Second}, nil)
	}
	if p.releaseTo != 0 && !p.released && !p.leaving {
		to := p.releaseTo
		for range 3 {
			add(Released{n, to}, func() { p.released = true; w.seen["released"]++ })
		}
	}
	if p.await && !p.leaving {
		for range 3 {
			add(Taken{n}, func() { p.await, p.taken = false, true; w.takeAll(n) })
		}
	}
	if p.resume && !p.leaving {
		add(Resumed{n}, func() { p.resume, p.released = false, false })
	}
	if p.ready && v>>12%4 == 0 {
		add(Extend{n, 0}, func() { w.takeAll(n) }) // it takes what it was given meanwhile
	}
}

// isCandidate reports whether n runs, and has not taken over yet.
func (w *world) isCandidate(n uint64) bool {
	return slices.ContainsFunc(w.m.Generations(), func(g Info) bool {
		return g.Number == n && (g.State == StateStarting || g.State == StateReady || g.State == StateHandingOver)
	})
}

// asking offers what callers may ask for.
func (w *world) asking(v uint64, add func(Event, func())) {
	ask := func(r *Reload) {
		w.nextCall++
		w.calls[w.nextCall] = &call{asked: r, last: w.last}
	}
	if v>>8%2 == 0 {
		r := Reload{Hold: v>>9%4 == 0, DryRun: v>>11%8 == 0, Caller: w.nextCall + 1}
		if v>>14%4 == 0 {
			r.Program = fmt.Sprint("/bin/", v>>16%12)
		}
		if (v>>15%8 == 0 || len(w.waiting) == maxWaiting) && !r.DryRun && !r.Hold {
			r.Caller = 0
			add(r, nil)
		} else {
			add(r, func() { ask(&r) })
		}
	}
	if v>>10%4 == 0 {
		add(Commit{w.nextCall + 1}, func() { ask(nil) })
	}
	if v>>12%8 == 0 {
		add(Abort{w.nextCall + 1}, func() { ask(nil) })
	}
	if v>>44%8 == 0 || w.ending() {
		add(Hurry{}, nil)
	}
	if v>>50%256 == 0 {
		add(Stop{}, func() { w.stopped = true })
	}
}

// staleEvent returns an event that must not change anything.
func (w *world) staleEvent(v uint64) Event {
	if v%3 == 0 && len(w.stale) > 0 {
		return TimerFired{w.stale[v>>3%uint64(len(w.stale))]}
	}
	n := v >> 3 % (w.last + 2)
	p := w.procs[n]
	if p == nil || p.forgot {
		return []Event{
			Spawned{n}, SpawnFailed{n, "late"}, Ready{Gen: n}, Stopping{Gen: n}, Silent{n}, Extend{n, time.Second},
			Released{n, n + 1}, Taken{n}, Resumed{n}, Exited{Gen: n, Status: ExitStatus{Signal: 9}}, Emptied{n}, Waiting{n, "late"}, Unfit{n, "late"},
		}[v>>20%13]
	}
	events := []Event{Start{Last: 7}, Released{n, n}}
	if p.reported {
		events = append(events, Spawned{n})
	}
	if p.ready {
		events = append(events, Ready{Gen: n}, Released{n, w.last + 1})
	}
	if !w.isCandidate(n) {
		events = append(events, Unfit{n, "late"}, Waiting{n, "late"})
	}
	if p.ready && !p.killTold {
		events = append(events, SpawnFailed{n, "late"})
	}
	if !p.await {
		events = append(events, Taken{n})
	}
	if !p.resume {
		events = append(events, Resumed{n})
	}
	if p.exited && !p.ended() {
		events = append(events, Exited{Gen: n})
	}
	return events[v>>20%uint64(len(events))]
}

// step lets one of the things happen that may, if there is one, and reports
// whether the service goes on.
func (w *world) step(v uint64) bool {
	v *= 0x9e3779b97f4a7c15 // small numbers, to which failures are reduced, differ as well
	v ^= v >> 29
	if acts := w.options(v); len(acts) > 0 {
		acts[v%uint64(len(acts))]()
	}
	return !w.gone
}
