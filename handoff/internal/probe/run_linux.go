package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Target is whom a probe asks.
type Target struct {
	Listeners []Listener
	// New and Old list the processes of the two generations. A nil Old is none.
	New, Old func() []int
	// Freeze has the old generation stand still until thaw is called, which is once.
	// nil is where that cannot be had.
	Freeze func() (thaw func(), err error)
	// Command runs a probe's command, and returns the end of its output. It is used
	// for nothing else.
	Command func(ctx context.Context, command []string) (output string, err error)
}

// A Report is what came of a probe.
type Report struct {
	New, Old, Unknown int // answers, by who gave them
	Frozen            int // how often the old generation was
	LongestFrozen     time.Duration
}

const (
	askTimeout  = 5 * time.Second        // of one question
	maxFrozen   = 250 * time.Millisecond // until somebody has accepted
	firstPause  = 5 * time.Millisecond
	lastPause   = 250 * time.Millisecond
	missesToTry = 12 // questions that the new generation did not take, before the old one is frozen
)

// Run asks until the new generation has given enough good answers, or ctx ends. The
// error then says what it answered last. It blocks that long, and keeps the old
// generation frozen for none of the pauses.
func (p Probe) Run(ctx context.Context, t Target) (Report, error) {
	var r Report
	if p.kind == byCommand {
		return r, p.runCommand(ctx, t, &r)
	}
	listeners, err := p.choose(t.Listeners)
	for _, l := range listeners {
		if err == nil {
			err = p.ask(ctx, t, l, &r)
		}
	}
	return r, err
}

// choose returns the listeners that are to be asked.
func (p Probe) choose(all []Listener) ([]Listener, error) {
	var names []string
	for _, l := range all {
		if l.Name == p.name {
			return []Listener{l}, nil
		}
		names = append(names, l.Name)
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("there is no listening stream socket to probe")
	case p.name == "":
		return all, nil
	case p.kind == byHTTP && len(all) == 1:
		return all, nil
	}
	return nil, fmt.Errorf("no socket is called %s: there are %s", p.name, strings.Join(names, ", "))
}

// errNotNew: the new generation has not answered at all.
var errNotNew = errors.New("it has answered no probe")

// ask asks at one listener.
func (p Probe) ask(ctx context.Context, t Target, l Listener, r *Report) error {
	good, misses, asked := 0, 0, false
	last := errNotNew
	pause := firstPause
	for good < max(p.Times, 1) {
		freeze := t.Freeze
		if t.Old == nil || misses < missesToTry {
			freeze = nil
		}
		by, err := p.once(ctx, t, l, freeze, r)
		if errors.As(err, new(blind)) {
			return fmt.Errorf("probe %v at %s: %w", p, l.Address, err)
		}
		if err != nil && ctx.Err() != nil && asked {
			err = nil // it was cut short, and says less than those before
		}
		asked = true
		switch by {
		case byNew:
			r.New++
			misses = 0
		case byOld:
			r.Old++
			misses++
		default:
			r.Unknown++
			misses++
		}
		switch {
		case by == byNew && err == nil && ctx.Err() == nil:
			good++
			pause = firstPause
			continue
		case by == byNew && err != nil:
			last = err
		case by == byNobody && err != nil && last == errNotNew:
			last = err
		}
		if !rest(ctx, pause) {
			return fmt.Errorf("probe %v at %s: %w", p, l.Address, last)
		}
		if err != nil {
			pause = min(2*pause, lastPause)
		}
	}
	return nil
}

// rest reports whether ctx lasts longer than d.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p Probe) runCommand(ctx context.Context, t Target, r *Report) error {
	if t.Command == nil {
		return errors.New("there is nobody to run a command")
	}
	pause := firstPause
	for r.New < max(p.Times, 1) {
		output, err := t.Command(ctx, p.command)
		if err == nil {
			r.New++
			continue
		}
		if !rest(ctx, pause) {
			if output != "" {
				err = fmt.Errorf("%w: %s", err, output)
			}
			return fmt.Errorf("probe %v: %w", p, err)
		}
		pause = min(2*pause, lastPause)
	}
	return nil
}
