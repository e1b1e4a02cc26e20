package vetting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/accepting"
	"github.com/holdfast-go/holdfast/handoff/internal/probe"
)

// Checks say what a generation is held to.
type Checks struct {
	// Says: it is not ready before it says so, which is when Said is called.
	Says bool
	// Sockets are those that it must wait on: all that its predecessor waits on, or one
	// of them where that is not known. None are none.
	Sockets []accepting.Socket
	// Known are the inodes of those that the predecessor was seen to wait on.
	Known []uint32
	// Predecessor lists the processes of the generation that serves; nil is none.
	Predecessor func() []int
	// Patience is how long it may take after Said until it waits on the sockets.
	// Without Says it has no end.
	Patience time.Duration
	// Probe asks for an answer; nil does not. Target lacks New and Old.
	Probe        *probe.Probe
	Target       probe.Target
	ProbeTimeout time.Duration
}

// doubtAfter is how long a generation that does not say when it is ready gets to be
// seen, where this process may not see all of it.
const doubtAfter = 5 * time.Second

// An Outcome is what came of a vetting.
type Outcome struct {
	Unfit     string       // why the generation must not serve, with the subject it; "" is that it may
	Doubt     string       // what could not be seen
	Accepting []uint32     // the inodes of the sockets that it was seen to wait on
	Report    probe.Report // of the probe
}

// An Observer is told what a vetting finds, on a goroutine of the vetting. Its
// functions must not call Stop.
type Observer struct {
	Waiting func(why string)  // why it is not ready yet, without a subject; not twice the same
	Doubt   func(text string) // at once when something cannot be seen, and once
	Done    func(Outcome)     // last, unless Stop comes first
}

// A Vetting is the check of one generation. Several goroutines may call its methods.
type Vetting struct {
	checks   Checks
	observer Observer
	cancel   context.CancelFunc
	done     chan struct{}

	startedOnce, saidOnce sync.Once
	started, said         chan struct{}
	processes             func() []int // once started is closed
	why                   string       // the last that was told
}

// New begins to vet a generation that is about to be started, so that connections
// that are there already are not taken for some that it accepted. The caller calls
// Stop in the end.
func New(c Checks, o Observer) *Vetting {
	ctx, cancel := context.WithCancel(context.Background())
	v := &Vetting{
		checks: c, observer: o, cancel: cancel,
		done: make(chan struct{}), started: make(chan struct{}), said: make(chan struct{}),
	}
	go func() {
		defer close(v.done)
		v.run(ctx)
	}()
	return v
}

// Started tells that the generation runs, and how its processes are listed. Only the
// first call counts.
func (v *Vetting) Started(processes func() []int) {
	v.startedOnce.Do(func() {
		v.processes = processes
		close(v.started)
	})
}

// Said tells that the generation has said that it is ready. Only the first call counts.
func (v *Vetting) Said() { v.saidOnce.Do(func() { close(v.said) }) }

// Cancel ends the vetting soon, and does not wait for that.
func (v *Vetting) Cancel() { v.cancel() }

// Wait returns when the vetting has ended: the observer is told nothing more, and no
// predecessor is frozen.
func (v *Vetting) Wait() { <-v.done }

// Stop ends the vetting, and returns as Wait does.
func (v *Vetting) Stop() {
	v.Cancel()
	v.Wait()
}

func (v *Vetting) run(ctx context.Context) {
	watch := accepting.New(v.checks.Sockets, func() []int { return v.processes() })
	if !arrives(ctx, v.started) {
		return
	}
	var o Outcome
	if len(v.checks.Sockets) > 0 {
		o = v.awaitAccepting(ctx, watch)
	}
	if o.Unfit == "" && v.checks.Says {
		if len(o.Accepting) > 0 && !isClosed(v.said) {
			v.waiting("accepts clients, and has not said READY=1")
		}
		if !arrives(ctx, v.said) {
			return
		}
	}
	if o.Unfit == "" && v.checks.Probe != nil {
		v.probe(ctx, &o)
	}
	if ctx.Err() == nil {
		v.observer.Done(o)
	}
}

// errImpatient ends the wait for somebody who accepts.
var errImpatient = errors.New("nobody accepts in time")

// awaitAccepting waits until the generation accepts on what it must.
func (v *Vetting) awaitAccepting(ctx context.Context, watch *accepting.Watch) (o Outcome) {
	need := v.needs()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go v.limit(ctx, cancel)
	var last time.Time
	doubt := ""
	view, err := watch.Await(ctx, need, func(view accepting.View) {
		if len(view.Denied) > 0 && doubt == "" && !view.Accepts(need) {
			doubt = denials(view)
			v.observer.Doubt(doubt)
			if !v.checks.Says {
				time.AfterFunc(doubtAfter, func() { cancel(errImpatient) })
			}
		}
		if time.Since(last) >= time.Second && !view.Accepts(need) {
			last = time.Now()
			v.waiting(view.Diagnosis(need))
		}
	})
	o.Accepting = view.Accepting()
	switch {
	case err == nil || !errors.Is(context.Cause(ctx), errImpatient):
	case doubt != "":
		o.Doubt = doubt
	case view.Doubtful():
		o.Doubt = view.Diagnosis(need)
	default:
		o.Unfit = fmt.Sprintf("%v after READY=1 it %s", v.checks.Patience, view.Diagnosis(need))
	}
	return o
}

// limit cancels once Patience is over.
func (v *Vetting) limit(ctx context.Context, cancel context.CancelCauseFunc) {
	if !v.checks.Says || !arrives(ctx, v.said) {
		return
	}
	t := time.NewTimer(v.checks.Patience)
	defer t.Stop()
	select {
	case <-t.C:
		cancel(errImpatient)
	case <-ctx.Done():
	}
}

// needs returns the sockets on which the generation must accept; nil is any.
func (v *Vetting) needs() []uint32 {
	if v.checks.Predecessor == nil {
		return nil
	}
	view := accepting.New(v.checks.Sockets, v.checks.Predecessor).Look()
	need := slices.Concat(v.checks.Known, view.Accepting())
	given := accepting.Inodes(v.checks.Sockets)
	need = slices.DeleteFunc(need, func(inode uint32) bool { return !slices.Contains(given, inode) })
	if len(need) == 0 {
		return nil
	}
	return need
}

// probe asks the generation.
func (v *Vetting) probe(ctx context.Context, o *Outcome) {
	limited, cancel := context.WithTimeout(ctx, v.checks.ProbeTimeout)
	defer cancel()
	target := v.checks.Target
	target.New, target.Old = v.processes, v.checks.Predecessor
	report, err := v.checks.Probe.Run(limited, target)
	o.Report = report
	if err != nil {
		o.Unfit = err.Error()
	}
}

func (v *Vetting) waiting(why string) {
	if why != "" && why != v.why {
		v.why = why
		v.observer.Waiting(why)
	}
}

func denials(view accepting.View) string {
	var list []string
	for _, d := range view.Denied {
		list = append(list, d.String())
	}
	const most = 3
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("and %d more", len(list)-most))
	}
	return strings.Join(list, "; ")
}

// arrives waits for c, and reports whether it came before the end of ctx.
func arrives(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
