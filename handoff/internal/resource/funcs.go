package resource

import (
	"context"
	"sync"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// Funcs are functions of the program that run beside the servers.
type Funcs struct {
	list []func(context.Context) error
	mu   sync.Mutex
	of   map[*Period]*running
}

var _ Background = (*Funcs)(nil)

// running are the functions in one period.
type running struct {
	end  context.CancelCauseFunc
	over chan struct{} // closed when all have returned
}

// Add adds a function. It comes before the first period.
func (f *Funcs) Add(fn func(context.Context) error) { f.list = append(f.list, fn) }

// Start calls the functions. The error of one ends the service.
func (f *Funcs) Start(p *Period) {
	ctx, cancel := context.WithCancelCause(context.Background())
	r := &running{end: cancel, over: make(chan struct{})}
	f.mu.Lock()
	if f.of == nil {
		f.of = make(map[*Period]*running)
	}
	f.of[p] = r
	f.mu.Unlock()
	var all sync.WaitGroup
	for _, fn := range f.list {
		all.Go(func() {
			if err := fn(ctx); err != nil {
				p.Fail(err)
			}
		})
	}
	go func() {
		all.Wait()
		close(r.over)
	}()
}

// StopAccepting does nothing: End says when the functions are to return.
func (f *Funcs) StopAccepting(bool) {}

// End ends the context of the functions.
func (f *Funcs) End(p *Period) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.of[p]; r != nil {
		r.end(report.ErrDraining)
	}
}

// Over returns what is closed when all functions have returned.
func (f *Funcs) Over(p *Period) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.of[p]; r != nil {
		return r.over
	}
	return closed
}

// Drain waits until the functions have returned. Whoever calls it does not wait for
// those that do not mind their context.
func (f *Funcs) Drain(_ context.Context, p *Period) error {
	<-f.Over(p)
	return nil
}

func (f *Funcs) Needs() Needs { return Needs{} }

func (f *Funcs) String() string { return "a function of Go" }
