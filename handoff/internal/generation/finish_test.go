package generation

// finishAlone lets nothing happen any more but that timers fire. That comes to an
// end, which is the proof that every wait has one.
func (w *world) finishAlone() {
	for fired := 0; len(w.timers) > 0; fired++ {
		if fired > 1000 {
			w.failf("timers fire for ever")
		}
		w.fire(w.timers[0])
	}
	w.atRest()
}

// finishWell lets every generation do from now on what it is asked for.
func (w *world) finishWell() {
	for steps := 0; w.cooperate(); steps++ {
		if steps > 10000 {
			w.failf("it does not come to rest")
		}
	}
	w.atRest()
	if w.gone || !w.started {
		return
	}
	if len(w.order) != 1 || !w.procs[w.order[0]].owned {
		w.failf("at rest with generations %v, want one that owns", w.order)
	}
	for _, s := range w.parcels {
		if s.holder != w.order[0] && s.by != w.order[0] {
			w.failf("something of %d is with %d", s.by, s.holder)
		}
	}
	w.seen["finished well"]++
}

// cooperate lets one thing go well, and reports whether there was one to be done.
func (w *world) cooperate() bool {
	for _, p := range w.alive() {
		n := p.number
		switch {
		case p.exited && !p.emptied:
			p.emptied = true
			w.handle(Emptied{n})
		case p.emptied, p.reported && (p.stopTold || p.killTold || p.leaving):
			p.reported, p.exited = true, true
			w.handle(Exited{Gen: n})
		case !p.reported:
			p.reported = true
			w.handle(Spawned{n})
		case !p.ready:
			p.ready, p.resumable = true, true
			w.handle(Ready{Gen: n, Resumable: true})
		case p.releaseTo != 0 && !p.released:
			p.released = true
			w.handle(Released{n, p.releaseTo})
		case p.await:
			p.await, p.taken = false, true
			w.takeAll(n)
			w.handle(Taken{n})
		case p.resume:
			p.resume, p.released = false, false
			w.handle(Resumed{n})
		default:
			continue
		}
		return true
	}
	if len(w.timers) > 0 {
		w.fire(w.timers[0])
		return true
	}
	return false
}

func (w *world) fire(t StartTimer) {
	w.firing(t)
	w.handle(TimerFired{t.Timer})
}

// atRest wants that nobody waits.
func (w *world) atRest() {
	for n, c := range w.calls {
		if !c.answered {
			w.failf("caller %d waits for ever", n)
		}
	}
	s := w.m.Situation()
	if s == ServiceServing && !w.ending() && len(w.waiting) == 0 || s == ServiceStopped && w.gone || s == ServiceNew {
		w.seen["finished "+s.String()]++
		return
	}
	w.failf("it has come to rest %v, with %d waiting", s, len(w.waiting))
}
