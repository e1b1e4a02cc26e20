package supervisor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A Result is what became of something that was asked for.
type Result struct {
	generation.Verdict
	Output   []string // the last lines of a generation that was undone
	Time     time.Time
	Stopping bool // it is what it is because the service stops
}

// What a Result's Outcome may be.
const (
	Done    = generation.Done
	Held    = generation.Held    // it waits for Commit or Abort
	Undone  = generation.Undone  // the service is as before
	Refused = generation.Refused // nothing was started
)

// A Call lets the wait for an answer go on when this program has been replaced
// meanwhile. The zero value is a call that ends with this program.
type Call struct {
	// Number is what Begun was given in the program before; 0: it was not.
	Number uint64
	// Begun is called when that is asked what there is to ask; nil is not at all.
	Begun func(number uint64)
}

// A ReloadRequest says what to reload.
type ReloadRequest struct {
	Call    Call
	Hold    bool   // let both generations accept until Commit or Abort
	DryRun  bool   // undo the successor when it is ready
	Program string // in place of the configured one; "" is that
}

// Reload starts a successor and returns when it serves, is held, or was undone. It
// goes on if ctx ends first. The program is looked up in PATH.
func (s *Supervisor) Reload(ctx context.Context, r ReloadRequest) (Result, error) {
	return s.ask(ctx, r.Call, func(caller uint64) generation.Event {
		return generation.Reload{Caller: caller, Hold: r.Hold, DryRun: r.DryRun, Program: r.Program}
	})
}

// Commit makes a held successor the service.
func (s *Supervisor) Commit(ctx context.Context, c Call) (Result, error) {
	return s.ask(ctx, c, func(caller uint64) generation.Event { return generation.Commit{Caller: caller} })
}

// Abort undoes a successor that is not committed.
func (s *Supervisor) Abort(ctx context.Context, c Call) (Result, error) {
	return s.ask(ctx, c, func(caller uint64) generation.Event { return generation.Abort{Caller: caller} })
}

// Stop asks for the end of the service, and does not wait for it.
func (s *Supervisor) Stop() {
	s.post(func() {
		s.stopWhileDraining()
		s.manager.ExtendAnew() // feed does: the manager knows of no time that was asked for before it waits
		s.feed(generation.Stop{})
	})
}

// Hurry cuts the drain of a service that stops short. Without a Stop before it
// nothing comes of it.
func (s *Supervisor) Hurry() {
	s.post(func() { s.feed(generation.Hurry{}) })
}

// Hangup reloads on behalf of nobody: SIGHUP.
func (s *Supervisor) Hangup() {
	s.post(func() {
		if s.drain.stage != inRotation {
			s.log.Warn("not reloaded", "reason", errDrained)
			s.manager.RefuseReload()
			return
		}
		s.feed(generation.Reload{})
	})
}

func (s *Supervisor) ask(ctx context.Context, c Call, event func(caller uint64) generation.Event) (Result, error) {
	var reply chan Result
	caller := c.Number
	err := s.call(func() error {
		if caller != 0 {
			reply = s.requests.waiting[caller]
			return nil
		}
		if s.drain.stage != inRotation {
			reply = make(chan Result, 1)
			reply <- verdictOf(Refused, errDrained.Error())
			return nil
		}
		caller, reply = s.requests.add()
		if c.Begun != nil {
			c.Begun(caller)
		}
		s.feed(event(caller))
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	if reply == nil {
		return Result{}, fmt.Errorf("call %d is not known here", caller)
	}
	select {
	case r := <-reply:
		return r, nil
	case <-ctx.Done():
		s.post(func() { s.requests.take(caller) })
		return Result{}, context.Cause(ctx)
	case <-s.ended:
		// The answer may be on its way, behind what the manager is told.
		select {
		case r := <-reply:
			return r, nil
		case <-time.After(time.Second):
			return Result{}, ErrEnded
		}
	}
}

// requests are those that wait for a verdict, and what the last one was about. They
// belong to Run's goroutine.
type requests struct {
	waiting map[uint64]chan Result
	last    uint64 // the number that was given last
	verdict Result // the last one on a reload
	words   lastWords
}

// lastWords are the last lines of the generation that was forgotten last.
type lastWords struct {
	Gen   uint64   `json:"gen,omitempty"`
	Lines []string `json:"lines,omitempty"`
}

// A requestsState is what requests leave to those of the next program.
type requestsState struct {
	Callers []uint64  `json:"callers,omitempty"` // who wait for an answer
	Caller  uint64    `json:"caller,omitempty"`  // the last number given to one
	Last    lastWords `json:"last"`
	Verdict Result    `json:"verdict"`
}

func newRequests() *requests { return &requests{waiting: make(map[uint64]chan Result)} }

// add returns the number of a new one, and where its answer comes.
func (r *requests) add() (number uint64, reply chan Result) {
	r.last++
	reply = make(chan Result, 1)
	r.waiting[r.last] = reply
	return r.last, reply
}

// take returns where an answer is to go, and forgets the request; nil where nobody
// waits any more.
func (r *requests) take(number uint64) chan<- Result {
	reply := r.waiting[number]
	delete(r.waiting, number)
	return reply
}

// pending lists the requests without an answer.
func (r *requests) pending() []uint64 { return slices.Sorted(maps.Keys(r.waiting)) }

// output returns the last lines of a generation that is gone, if they are known.
func (r *requests) output(gen uint64) []string {
	if r.words.Gen == gen {
		return r.words.Lines
	}
	return nil
}

func (r *requests) snapshot() requestsState {
	return requestsState{Callers: r.pending(), Caller: r.last, Last: r.words, Verdict: r.verdict}
}

// restoreRequests returns those of a snapshot. Who asked finds the answer by the number.
func restoreRequests(st requestsState) *requests {
	r := newRequests()
	r.last, r.words, r.verdict = st.Caller, st.Last, st.Verdict
	for _, number := range st.Callers {
		r.waiting[number] = make(chan Result, 1)
	}
	return r
}
