package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff"
)

type options struct {
	listen  string // where to listen when not socket-activated
	share   bool
	warm    time.Duration // stands for what a worker loads before its first request
	work    time.Duration // stands for what a request takes
	workers poolOptions
}

func main() {
	if err := activation.ExecStep(); err != nil {
		fail(err, 127)
	}
	o, worker, err := parse(os.Args[1:])
	if err != nil {
		fail(err, 2)
	}
	if worker {
		time.Sleep(o.warm)
		err = work(handler(o.work), slog.With("worker", os.Getpid()))
	} else {
		err = run(context.Background(), o)
	}
	if err != nil {
		fail(err, 1)
	}
}

func fail(err error, status int) {
	if !errors.Is(err, flag.ErrHelp) {
		slog.Error("holdfast-scgi failed", "error", err)
	}
	os.Exit(status)
}

// workerVerb is the first argument of a worker; the others are the dispatcher's.
const workerVerb = "worker"

// parse reads the command line.
func parse(args []string) (o options, worker bool, err error) {
	if len(args) > 0 && args[0] == workerVerb {
		worker, args = true, args[1:]
	}
	f := flag.NewFlagSet("holdfast-scgi", flag.ContinueOnError)
	f.StringVar(&o.listen, "listen", "127.0.0.1:4000", "address to bind when systemd passed no socket")
	f.BoolVar(&o.share, "share", false, "have the workers accept by themselves; all of -workers run then")
	f.DurationVar(&o.warm, "warm", 0, "how long a worker takes until it is warm")
	f.DurationVar(&o.work, "work", 0, "how long a request takes")
	f.IntVar(&o.workers.limit, "workers", 8, "the most workers: as many requests at once")
	f.IntVar(&o.workers.spare, "spare", 1, "how many idle workers to keep warm")
	f.DurationVar(&o.workers.idleTimeout, "idle-timeout", time.Minute, "how long more than the spare ones stay idle")
	f.DurationVar(&o.workers.drain, "drain-timeout", 20*time.Second, "how long requests under way may take when a worker is to end")
	if err := f.Parse(args); err != nil {
		return o, worker, err
	}
	switch w := o.workers; {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case w.limit < 1 || w.spare < 1 || w.spare > w.limit:
		err = fmt.Errorf("-workers %d -spare %d: want at least one of both, and no more spare ones than workers", w.limit, w.spare)
	case w.idleTimeout < 0 || w.drain < 0 || o.warm < 0 || o.work < 0:
		err = fmt.Errorf("-idle-timeout %v -drain-timeout %v -warm %v -work %v: want durations that are not negative", w.idleTimeout, w.drain, o.warm, o.work)
	}
	if o.share {
		o.workers.spare = o.workers.limit // nobody knows which of them are idle
	}
	return o, worker, err
}

// run is the dispatcher. It returns once it was told to stop, and every request that
// had been accepted is answered, or the drain timeout has passed.
func run(ctx context.Context, o options) error {
	program, err := exec.LookPath(os.Args[0])
	if err != nil {
		return err
	}
	// Not os.Executable, which follows links: where a new version is a new link,
	// the workers are to follow it.
	if program, err = filepath.Abs(program); err != nil {
		return err
	}
	svc, err := handoff.Open(ctx, handoff.Options{
		DrainTimeout:  o.workers.drain,
		ReloadTimeout: time.Duration(o.workers.limit)*startTimeout + o.workers.drain, // one worker after the other
		Report:        func(err error) { slog.Warn("went on from a problem", "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	ln, err := svc.Listen("scgi", "tcp", o.listen)
	if err != nil {
		return err
	}
	l := launcher{program: program, args: append([]string{workerVerb}, os.Args[1:]...)}
	if o.share {
		if l.listener, err = fileOf(ln); err != nil {
			return err
		}
	}
	p := newPool(o.workers, l.launch, slog.Default())
	if err := svc.Serve(ln, newDispatcher(ln, l.listener, p, slog.Default())); err != nil {
		return err
	}
	if err := svc.OnReload(p.replace); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil { // READY=1 comes after that: there are warm workers then
		return fmt.Errorf("start the workers: %w", err)
	}
	return svc.Run(ctx)
}

// fileOf returns a duplicate of a listener, for the workers.
func fileOf(ln net.Listener) (*os.File, error) {
	l, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("-share: %T has no file to share", ln)
	}
	return l.File()
}
