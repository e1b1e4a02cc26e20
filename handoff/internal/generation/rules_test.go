package generation

import "slices"

// apply carries one effect out, and holds it against the rules.
func (w *world) apply(f Effect) {
	if w.gone {
		w.failf("%v after the exit", f)
	}
	switch f := f.(type) {
	case Spawn:
		w.spawn(f)
	case SendStop:
		p := w.procOf(f.Gen)
		w.touch(p)
		if _, again := w.now.(Hurry); p.stopTold && (!again || !w.ending()) || p.exited {
			w.failf("%d was told to stop already, or has ended", f.Gen)
		}
		// Rule 4.
		if to := w.procs[p.releaseTo]; p.releaseTo != 0 && !w.ending() && !p.releaseFired && (!p.released || !to.taken) {
			w.failf("%d may not end before %d has taken all", f.Gen, p.releaseTo)
		}
		p.stopTold = true
	case Kill:
		w.kill(f)
	case Forget:
		w.forget(f)
	case Deliver:
		if f.To != 0 {
			p := w.procOf(f.To)
			if !p.accepting() {
				w.failf("deliver to one that is not able to serve")
			}
			p.committed = true
		}
		w.target = f.To
		w.deliver()
	case Reclaim:
		p := w.procOf(f.Gen)
		if !p.ended() && !p.killFired && !p.released && w.target != f.Gen {
			w.failf("rule 5: %d may still read", f.Gen)
		}
		for _, s := range w.parcels {
			if s.holder == f.Gen {
				s.holder = 0
			}
		}
		w.deliver()
	case Release:
		p, to := w.procOf(f.Gen), w.procOf(f.To)
		w.touch(p)
		if !p.resumable || !p.healthy() || p.releaseTo != 0 || !to.healthy() {
			w.failf("%d cannot release to %d", f.Gen, f.To)
		}
		p.releaseTo, p.released, p.releaseFired = f.To, false, false
	case AwaitTaken:
		p := w.procOf(f.Gen)
		p.await, p.taken = true, false
	case Resume:
		p := w.procOf(f.Gen)
		if to := w.procs[p.releaseTo]; !p.accepting() || to == nil || to.accepting() {
			w.failf("rule 4: %d has nothing to resume", f.Gen)
		}
		p.releaseTo, p.released, p.resume = 0, false, true
	case Own:
		w.own(f)
	case StartTimer:
		if f.Timer <= w.nextTimer || f.After <= 0 {
			w.failf("timer %v", f)
		}
		if f.Gen != 0 {
			w.procOf(f.Gen)
		}
		w.nextTimer = f.Timer
		w.timers = append(w.timers, f)
		if f.Kind == BackoffTimer {
			w.pauses++
			if f.After < w.o.MinBackoff || f.After > w.o.MaxBackoff || w.pauses > w.o.MaxDeaths && w.o.GiveUpAfter == 0 || w.expired {
				w.failf("rule 6: backoff %d of %v", w.pauses, f.After)
			}
		}
	case ExtendTimer:
		if f.By <= 0 || !slices.ContainsFunc(w.timers, func(t StartTimer) bool { return t.Timer == f.Timer }) {
			w.failf("no such timer")
		}
	case CancelTimer:
		i := slices.IndexFunc(w.timers, func(t StartTimer) bool { return t.Timer == f.Timer })
		if i < 0 {
			w.failf("no such timer")
		}
		w.timers = slices.Delete(w.timers, i, i+1)
		w.stale = append(w.stale, f.Timer)
	case TellReady:
		if w.told || w.served && !w.reloading || !w.served && !slices.ContainsFunc(w.alive(), (*proc).accepting) {
			w.failf("READY=1 out of order")
		}
		w.served, w.reloading = true, false
	case TellReloading:
		if w.told || !w.served || w.reloading && !w.signalled() {
			w.failf("RELOADING=1 out of order")
		}
		w.reloading = true
	case TellStopping:
		if w.told || w.reloading {
			w.failf("STOPPING=1 out of order")
		}
		w.told = true
	case TellStatus:
		if f.Text == "" {
			w.failf("empty status")
		}
	case Answer:
		w.answer(f)
	case Log:
		switch f.Event {
		case LogGaveUp:
			w.gaveUp = true
		case LogServes:
			w.program = w.procOf(f.Gen).program
		}
		w.seen["log "+string(f.Event)]++
	case Exit:
		if len(w.order) > 0 || !w.ending() || len(w.timers) > 0 || (f.Reason != "") != w.gaveUp {
			w.failf("exit")
		}
		w.gone = true
	}
}

// signalled reports whether a reload was asked for that systemd may wait for.
func (w *world) signalled() bool {
	r, ok := w.now.(Reload)
	return ok && r.Caller == 0
}

func (w *world) ending() bool { return w.stopped || w.gaveUp || w.told }

func (w *world) procOf(n uint64) *proc {
	p := w.procs[n]
	if p == nil || p.forgot {
		w.failf("no generation %d", n)
	}
	return p
}

// touch holds what is done to a generation that is well against rules 1 and 3:
// it must have a committed successor, or be a successor that is undone.
func (w *world) touch(p *proc) {
	w.touched[p.number] = w.touched[p.number] || p.healthy()
}

func (w *world) spawn(f Spawn) {
	if f.Gen != w.last+1 {
		w.failf("generation %d after %d", f.Gen, w.last)
	}
	for _, p := range w.alive() {
		if !p.ready && !p.stopTold && !p.killTold && !p.leaving && !p.exited {
			w.failf("rule 2: %d is starting", p.number)
		}
		if p.accepting() && f.Inherit {
			w.failf("%d serves: nothing may be inherited yet", p.number)
		}
	}
	w.last = f.Gen
	w.procs[f.Gen] = &proc{number: f.Gen, program: f.Program}
	w.order = append(w.order, f.Gen)
	if f.Inherit {
		for _, s := range w.parcels {
			if s.holder == 0 {
				s.holder = f.Gen
			}
		}
	}
	switch _, start := w.now.(Start); {
	case start:
	case len(w.waiting) > 0:
		if r := w.waiting[0]; r.Program != f.Program {
			w.failf("program %q, want %q", f.Program, r.Program)
		}
		w.waiting = w.waiting[1:]
	case !w.backoffFired:
		w.failf("rule 6: a respawn without a pause")
	case f.Program != w.program:
		w.failf("program %q, want %q, which served", f.Program, w.program)
	default:
		w.seen["respawn"]++
	}
	w.backoffFired = false
}

func (w *world) kill(f Kill) {
	if f.Gen > w.last {
		w.failf("kill of nobody")
	}
	p := w.procs[f.Gen]
	if p == nil || p.forgot {
		return // one that was given up has appeared after all
	}
	w.touch(p)
	if (p.stopTold || p.leaving) && !p.killTold && !p.exited && !p.drainFired {
		oldest := slices.IndexFunc(w.alive(), func(o *proc) bool { return (o.stopTold || o.leaving) && !o.killTold && !o.exited })
		if w.alive()[oldest] != p || len(w.order) < w.o.MaxGenerations {
			w.failf("rule 6: %d is not the victim", f.Gen)
		}
	}
	p.killTold = true
}

func (w *world) forget(f Forget) {
	p := w.procOf(f.Gen)
	if !p.ended() && (!p.killTold || !p.killFired || !f.Abandoned) || p.ended() && f.Abandoned {
		w.failf("rule 7: %d is not over", f.Gen)
	}
	if slices.ContainsFunc(w.parcels, func(s *stored) bool { return s.holder == f.Gen }) {
		w.failf("rule 5: %d has what it did not take", f.Gen)
	}
	p.forgot = true
	w.order = slices.DeleteFunc(w.order, func(n uint64) bool { return n == f.Gen })
}

func (w *world) own(f Own) {
	p := w.procOf(f.Gen)
	for _, o := range w.alive() {
		if o != p && !o.released && o.stopTold {
			w.failf("%d holds something yet", o.number)
		}
	}
	if p.owned || w.target != f.Gen || p.releaseTo != 0 {
		w.failf("%d does not own", f.Gen)
	}
	p.owned = true
}

func (w *world) answer(f Answer) {
	c := w.calls[f.Caller]
	switch {
	case c == nil || c.answered:
		w.failf("%d does not wait", f.Caller)
	case w.reloading && f.Outcome != Refused:
		w.failf("a verdict before READY=1")
	case f.Outcome == Refused && f.Gen != 0, f.Outcome == Undone && f.Reason == "", f.Outcome == 0:
		w.failf("verdict %v", f.Verdict)
	case c.asked != nil && f.Outcome != Refused && f.Gen <= c.last:
		w.failf("rule 2: the verdict on generation %d for a call after %d", f.Gen, c.last)
	}
	if p := w.procs[f.Gen]; c.asked != nil && f.Outcome == Done && !p.ready || f.Outcome == Held && !p.accepting() {
		w.failf("generation %d is not ready", f.Gen)
	}
	if f.Outcome == Refused && c.asked != nil && c.asked.DryRun {
		w.waiting = slices.DeleteFunc(w.waiting, c.asked.alike)
	}
	c.answered = true
	w.seen["answer "+f.Outcome.String()]++
}

// check holds the world against the rules after each event.
func (w *world) check(couldServe bool) {
	accepting := slices.ContainsFunc(w.alive(), (*proc).accepting)
	if couldServe && !accepting && !w.ending() {
		w.failf("rule 1: nobody accepts any more")
	}
	for n, healthy := range w.touched {
		p := w.procs[n]
		undone := !p.committed && n > w.target || p.takeFired
		if healthy && !w.ending() && w.target <= n && !undone {
			w.failf("rule 3: %d was well, and nobody is committed in its place", n)
		}
	}
	if len(w.order) > w.o.MaxGenerations {
		w.failf("rule 6: %d generations", len(w.order))
	}
	for _, p := range w.alive() {
		if p.exited && !p.emptied && !p.killTold {
			w.failf("rule 7: what %d has left runs on", p.number)
		}
		if to := w.procs[p.releaseTo]; to != nil && !to.accepting() && p.accepting() && !w.ending() {
			w.failf("rule 4: %d does not resume", p.number)
		}
	}
	for _, s := range w.parcels {
		if s.holder != 0 && w.procs[s.holder].forgot {
			w.failf("rule 5: something is with %d, which is over", s.holder)
		}
		if s.holder == 0 && w.target != 0 && s.by != w.target {
			w.failf("rule 5: something of %d waits beside %d", s.by, w.target)
		}
	}
	w.checkTimers()
}

// remember keeps what a caller asked for until it is started.
func (w *world) remember() {
	r, ok := w.now.(Reload)
	if w.ending() {
		w.waiting = nil
		return
	}
	refused := slices.ContainsFunc(w.effects, func(f Effect) bool {
		a, ok := f.(Answer)
		return ok && a.Caller == r.Caller && a.Outcome == Refused
	})
	if !ok || refused || slices.ContainsFunc(w.waiting, r.alike) {
		return
	}
	switch told := slices.Contains(w.effects, Effect(TellReloading{})); {
	case len(w.waiting) < maxWaiting:
		w.waiting = append(w.waiting, r)
	case r.Caller != 0:
		w.failf("rule 6: %d reloads wait", len(w.waiting))
	case !told && w.served:
		w.failf("the manager waits for RELOADING=1")
	default:
		w.seen["signal refused"]++
	}
}

// checkTimers wants a deadline for everything that is not at rest.
func (w *world) checkTimers() {
	timed := make(map[uint64]bool)
	for _, t := range w.timers {
		if t.Kind == GiveUpTimer {
			continue // beside another one
		}
		if timed[t.Gen] {
			w.failf("two timers for %d", t.Gen)
		}
		timed[t.Gen] = true
	}
	handover, killing := false, false
	for _, g := range w.m.Generations() {
		switch g.State {
		case StateServing:
		case StateHandingOver, StateReleasing:
			handover = true
		default:
			killing = killing || g.State == StateKilling
			if !timed[g.Number] {
				w.failf("rule 6: %d is %v without a deadline", g.Number, g.State)
			}
		}
	}
	if handover && len(timed) == 0 || w.m.Situation() == ServiceDown && !timed[0] && !killing {
		w.failf("rule 6: no deadline")
	}
}
