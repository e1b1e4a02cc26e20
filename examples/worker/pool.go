package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	maxTries     = 3 // of a job whose workers end
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 10 * time.Second
)

// A worker is a process that does one job at a time.
type worker interface {
	ask(job string) (answer string, err error) // an error means that it has ended
	ended() <-chan struct{}
	end() error // how, once it has
	finish()    // ends it, and waits for that; it has no job
	kill()
}

// A pool has a number of workers do jobs, and puts another in the place of each that
// ends.
type pool struct {
	size   int
	drain  time.Duration // how long jobs under way may take once run is to return
	launch func(context.Context) (worker, error)
	log    *slog.Logger
	jobs   chan *job   // for whichever worker is idle
	first  chan worker // those of start
}

func newPool(size int, drain time.Duration, launch func(context.Context) (worker, error), log *slog.Logger) *pool {
	return &pool{size: size, drain: drain, launch: launch, log: log, jobs: make(chan *job), first: make(chan worker, size)}
}

// A job is one that do waits for.
type job struct {
	ctx   context.Context // of the one who waits
	text  string
	tries int
	done  chan outcome // has room for one
}

type outcome struct {
	answer string
	err    error
}

// errNotDone is for the jobs that may be done elsewhere: no worker of this process has
// them any more.
var errNotDone = errors.New("not done here")

// do has a job done, and returns the worker's answer. When ctx ends it gives up, with
// errNotDone, unless a worker has the job: that may finish it until run has to return.
// Any other error says why the job is not tried again.
func (p *pool) do(ctx context.Context, text string) (answer string, err error) {
	j := &job{ctx: ctx, text: text, done: make(chan outcome, 1)}
	select {
	case p.jobs <- j:
	case <-ctx.Done():
		return "", errNotDone
	}
	o := <-j.done
	return o.answer, o.err
}

// start starts the first workers, and returns when they are warm.
func (p *pool) start(ctx context.Context) error {
	errs := make(chan error, p.size)
	for range p.size {
		go func() {
			w, err := p.launch(ctx)
			if err == nil {
				p.first <- w
			}
			errs <- err
		}()
	}
	var all []error
	for range p.size {
		all = append(all, <-errs)
	}
	if err := errors.Join(all...); err != nil {
		for len(p.first) > 0 {
			(<-p.first).finish()
		}
		return err
	}
	return nil
}

// run has the jobs done until ctx ends, and returns when no worker is left. It may be run
// again.
func (p *pool) run(ctx context.Context) error {
	// Not ctx, with which no worker begins a job any more: those who have one go on.
	late, cut := context.WithCancel(context.Background())
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(p.drain, cut) })()
	var places sync.WaitGroup
	for range p.size {
		places.Go(func() { p.keep(ctx, late) })
	}
	places.Wait()
	return nil
}

// keep keeps one place filled with a worker, until ctx ends. It waits for longer each time
// that one has ended without having done a job.
func (p *pool) keep(ctx, late context.Context) {
	for pause := backoffFirst; ctx.Err() == nil; {
		w, err := p.next(ctx)
		if err == nil {
			var done int
			done, err = p.work(ctx, late, w)
			if done > 0 {
				pause = backoffFirst
			}
		}
		if ctx.Err() != nil {
			return
		}
		p.log.Warn("a worker has ended", "error", err, "next", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, backoffMost)
	}
}

func (p *pool) next(ctx context.Context) (worker, error) {
	select {
	case w := <-p.first:
		return w, nil
	default:
		return p.launch(ctx)
	}
}

// work gives w jobs until ctx ends, and ends it then, or until it has ended by itself. It
// returns how many it has done.
func (p *pool) work(ctx, late context.Context, w worker) (done int, err error) {
	defer w.finish()
	defer context.AfterFunc(late, w.kill)()
	for ctx.Err() == nil {
		select {
		case j := <-p.jobs:
			answer, err := w.ask(j.text)
			if err != nil {
				p.again(j, err)
				return done, err
			}
			done++
			j.done <- outcome{answer: answer}
		case <-w.ended():
			return done, w.end()
		case <-ctx.Done():
		}
	}
	return done, nil
}

// again has another worker do a job, since the one that had it has ended with err.
func (p *pool) again(j *job, err error) {
	j.tries++
	switch {
	case j.ctx.Err() != nil:
		j.done <- outcome{err: errNotDone}
	case j.tries == maxTries:
		j.done <- outcome{err: fmt.Errorf("%d workers ended with it, the last so: %w", j.tries, err)}
	default:
		p.log.Warn("a job is done again", "job", fmt.Sprintf("%.60s", j.text), "tries", j.tries, "error", err)
		go func() { // no more of them than there are callers of do
			select {
			case p.jobs <- j:
			case <-j.ctx.Done():
				j.done <- outcome{err: errNotDone}
			}
		}()
	}
}

// answerLine is what a client is told of a job.
func answerLine(answer string, err error) string {
	if err != nil {
		return wordFailed + " " + oneLine(err.Error())
	}
	if word, _, _ := strings.Cut(answer, " "); word != wordOK && word != wordFailed {
		return wordFailed + " " + oneLine("the worker says "+answer)
	}
	return answer
}
