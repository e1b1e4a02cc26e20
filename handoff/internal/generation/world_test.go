package generation

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
)

// A world carries effects out as a supervisor with processes that do as they like:
// they die at any time, never answer, answer late. It judges the machine by its
// effects, which it holds against the rules (rules_test.go).
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
	program  string   // of the last generation that served
	waiting  []Reload // not started yet, those that are alike once

	started, stopped, gaveUp, gone bool // Start and Stop were handed in; Exit came out
	served, reloading, told        bool // what the service manager was told
	backoffFired                   bool
	pauses                         int  // backoffs since a generation settled
	expired                        bool // the time to give up has come since
	touched                        map[uint64]bool
	now                            Event
	effects                        []Effect
	steps                          int
	calm                           uint64         // one in so many chances of a mishap is taken
	seen                           map[string]int // what took place
	history                        []string
	keepHistory                    bool
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

// firing takes note that a timer fires.
func (w *world) firing(t StartTimer) {
	w.timers = slices.DeleteFunc(w.timers, func(o StartTimer) bool { return o == t })
	w.stale = append(w.stale, t.Timer)
	p := w.procs[t.Gen]
	switch t.Kind {
	case DrainTimer, HurryTimer:
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
		w.pauses, w.expired = 0, false
	case GiveUpTimer:
		w.expired = true
	case BackoffTimer:
		w.backoffFired = true
	}
	w.seen["timer "+t.Kind.String()]++
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
