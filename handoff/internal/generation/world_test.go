package generation

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// A world carries effects out as a supervisor with processes that do as they like:
// they die at any time, never answer, answer late. It knows nothing of the machine
// but its effects, and holds those against the rules (rules_test.go).
type world struct {
	o     Options
	m     *Machine
	fatal func(string)

	procs     map[uint64]*proc
	order     []uint64 // generations that are not forgotten, oldest first
	last      uint64
	timers    []StartTimer
	stale     []uint64 // timers that were cancelled or have fired
	nextTimer uint64

	target   uint64
	parcels  []*stored
	calls    map[uint64]*call
	nextCall uint64
	waiting  []Reload // not started yet, those that are alike once

	started, stopped, gaveUp, gone bool // Start and Stop were handed in; Exit came out
	served, reloading, told        bool // what the service manager was told
	backoffFired                   bool
	pauses                         int // backoffs since a generation settled
	touched                        map[uint64]bool
	now                            Event
	effects                        []Effect
	steps                          int
	calm                           uint64         // one in so many chances of a mishap is taken
	seen                           map[string]int // what took place
	history                        []string
	keepHistory                    bool
	rooms, resumes                 int
}

// A proc is a generation as the world knows it.
type proc struct {
	number                     uint64
	program                    string
	reported                   bool // Spawned or SpawnFailed was handed in
	spawnFailed                bool
	ready, resumable           bool
	leaving, silent            bool
	exited, emptied            bool
	stopTold, killTold, forgot bool
	drainFired, killFired      bool
	releaseTo                  uint64 // the handover that it is asked for
	releaseFired, takeFired    bool
	released, await, taken     bool
	resume                     bool // asked, and not answered
	owned, committed           bool
}

// healthy reports whether there is no reason to end p.
func (p *proc) healthy() bool {
	return p.accepting() && !p.silent
}

// accepting reports whether p takes new work, for all that was reported.
func (p *proc) accepting() bool {
	return p.ready && !p.leaving && !p.exited && !p.stopTold && !p.killTold && !p.forgot
}

func (p *proc) ended() bool { return p.spawnFailed || p.exited && p.emptied }

// stored is a parcel: in the pool, or given to one generation.
type stored struct {
	by, holder uint64
}

// A call is a caller that waits.
type call struct {
	asked    *Reload // nil: a commit or an abort
	last     uint64  // the newest generation when it was asked
	answered bool
}

// alike reports whether one generation answers both.
func (e Reload) alike(o Reload) bool {
	return e.Hold == o.Hold && e.DryRun == o.DryRun && e.Program == o.Program
}

func newWorld(o Options, fatal func(string)) *world {
	w := &world{
		o: o.withDefaults(), m: New(o), fatal: fatal,
		procs: make(map[uint64]*proc), calls: make(map[uint64]*call), seen: make(map[string]int), touched: make(map[uint64]bool),
	}
	return w
}

func (w *world) failf(format string, args ...any) {
	w.fatal(fmt.Sprintf("step %d, %v:\n%s\neffects: %v\n%s", w.steps, w.now, fmt.Sprintf(format, args...), w.effects, w.story()))
}

func (w *world) story() string {
	var b bytes.Buffer
	for _, line := range w.history {
		b.WriteString(line + "\n")
	}
	for _, g := range w.m.Generations() {
		fmt.Fprintf(&b, "%+v\n", g)
	}
	return b.String()
}

// alive returns the generations that are not forgotten, oldest first.
func (w *world) alive() []*proc {
	procs := make([]*proc, 0, len(w.order))
	for _, n := range w.order {
		procs = append(procs, w.procs[n])
	}
	return procs
}

// handle gives the machine an event that has taken place in the world, and
// carries out what comes of it.
func (w *world) handle(e Event) {
	w.now = e
	w.steps++
	couldServe := slices.ContainsFunc(w.alive(), (*proc).accepting)
	clear(w.touched)
	w.effects = w.m.Handle(e)
	if w.keepHistory {
		w.history = append(w.history, fmt.Sprintf("%v -> %v", e, w.effects))
	}
	w.remember()
	for _, f := range w.effects {
		w.seen[reflect.TypeOf(f).Name()]++
		w.apply(f)
	}
	w.check(couldServe)
}

// harmless hands in what is late, repeated or about nobody.
func (w *world) harmless(e Event) {
	w.handle(e)
	for _, f := range w.effects {
		if _, ok := f.(Kill); !ok || w.gone {
			w.failf("a stale event has effects")
		}
	}
	w.seen["stale"]++
}

// twin replaces the machine by one from its snapshot, after having seen both do
// the same.
func (w *world) twin(e Event) {
	b, err := w.m.Snapshot()
	if err != nil {
		w.failf("%v", err)
	}
	m, err := Restore(w.o, b)
	if err != nil {
		w.failf("%v: %s", err, b)
	}
	again, err := m.Snapshot()
	if err != nil || !bytes.Equal(b, again) {
		w.failf("%v: snapshots differ:\n%s\n%s", err, b, again)
	}
	w.handle(e)
	if effects := m.Handle(e); !reflect.DeepEqual(effects, w.effects) {
		w.failf("the restored machine does %v", effects)
	}
	w.m = m
	w.seen["restored"]++
}

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
		add(Exited{n, ExitStatus{Code: int(v>>20) % 2}}, func() { p.exited, p.reported = true, true })
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
	if p.reported && !p.leaving && v>>24%4 == 0 && w.mishap(v>>25) {
		add(Stopping{n}, func() { p.leaving = true })
	}
	if p.ready && !p.silent && v>>26%4 == 0 && w.mishap(v>>27) {
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
		add(Resumed{n}, func() { p.resume, p.released = false, false; w.resumes++ })
	}
	if p.ready && v>>12%4 == 0 {
		add(Extend{n, 0}, func() { w.takeAll(n) }) // it takes what it was given meanwhile
	}
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
		if v>>15%8 == 0 && !r.DryRun && !r.Hold {
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
	if v>>50%256 == 0 {
		add(Stop{}, func() { w.stopped = true })
	}
}

// firing takes note that a timer fires.
func (w *world) firing(t StartTimer) {
	w.timers = slices.DeleteFunc(w.timers, func(o StartTimer) bool { return o == t })
	w.stale = append(w.stale, t.Timer)
	p := w.procs[t.Gen]
	switch t.Kind {
	case DrainTimer:
		p.drainFired = true
	case KillTimer:
		p.killFired = true
	case ReleaseTimer:
		p.releaseFired = true
	case TakeTimer:
		p.takeFired = true
	case ResumeTimer:
		p.silent = true // as good as that
	case SettleTimer:
		w.pauses = 0
	case BackoffTimer:
		w.backoffFired = true
	}
	w.seen["timer "+t.Kind.String()]++
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
			Spawned{n}, SpawnFailed{n, "late"}, Ready{Gen: n}, Stopping{n}, Silent{n}, Extend{n, time.Second},
			Released{n, n + 1}, Taken{n}, Resumed{n}, Exited{n, ExitStatus{Signal: 9}}, Emptied{n},
		}[v>>20%11]
	}
	events := []Event{Start{Last: 7}, Released{n, n}}
	if p.reported {
		events = append(events, Spawned{n})
	}
	if p.ready {
		events = append(events, Ready{Gen: n}, Released{n, w.last + 1})
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
		events = append(events, Exited{n, ExitStatus{}})
	}
	return events[v>>20%uint64(len(events))]
}

// store lets a generation store something.
func (w *world) store(v uint64) {
	procs := w.alive()
	if len(procs) == 0 || len(w.parcels) > 50 {
		return
	}
	p := procs[v%uint64(len(procs))]
	if !p.emptied && p.reported && !p.spawnFailed {
		s := &stored{by: p.number}
		w.parcels = append(w.parcels, s)
		w.deliver()
	}
}

// deliver gives the target what waits and is not its own.
func (w *world) deliver() {
	for _, s := range w.parcels {
		if s.holder == 0 && w.target != 0 && s.by != w.target {
			s.holder = w.target
			w.seen["delivered"]++
		}
	}
}

// takeAll lets a generation take what it was given.
func (w *world) takeAll(n uint64) {
	w.parcels = slices.DeleteFunc(w.parcels, func(s *stored) bool { return s.holder == n })
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
