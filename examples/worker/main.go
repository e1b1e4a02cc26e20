package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

type options struct {
	listen   string // where to listen when not socket-activated
	workers  int
	watchdog time.Duration // the longest silence of a worker
	drain    time.Duration // how long jobs under way may take at the end
	queue    string        // URL of a Redis; "": none
	claim    time.Duration // after which a job that nobody works on is taken over
}

func main() {
	o, worker, err := parse(os.Args[1:])
	if err != nil {
		fail(err, 2)
	}
	if worker {
		err = work(context.Background(), os.Stdin, os.Stdout)
	} else {
		err = run(context.Background(), o)
	}
	if err != nil {
		fail(err, 1)
	}
}

func fail(err error, status int) {
	if !errors.Is(err, flag.ErrHelp) {
		slog.Error("holdfast-worker failed", "error", err)
	}
	os.Exit(status)
}

// workerVerb is the only argument of a worker.
const workerVerb = "work"

// parse reads the command line.
func parse(args []string) (o options, worker bool, err error) {
	if len(args) == 1 && args[0] == workerVerb {
		return o, true, nil
	}
	f := flag.NewFlagSet("holdfast-worker", flag.ContinueOnError)
	f.StringVar(&o.listen, "listen", "127.0.0.1:7008", "address to bind when systemd passed no socket")
	f.IntVar(&o.workers, "workers", 4, "how many worker processes: as many jobs at once")
	f.DurationVar(&o.watchdog, "watchdog", 10*time.Second, "how long a worker may send no heartbeat")
	f.DurationVar(&o.drain, "drain-timeout", 20*time.Second, "how long jobs under way may take when the service is to end")
	f.StringVar(&o.queue, "queue", "", "redis://HOST:PORT/DB whose stream \"jobs\" has jobs, too; its password may be in $"+envPassword)
	f.DurationVar(&o.claim, "claim", 30*time.Second, "after how long a job of the queue that nobody works on is taken over")
	if err := f.Parse(args); err != nil {
		return o, false, err
	}
	const most = 1024 // workers
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.workers < 1 || o.workers > most:
		err = fmt.Errorf("-workers %d: want 1 to %d", o.workers, most)
	case o.watchdog < 100*time.Millisecond || o.claim < 100*time.Millisecond:
		err = fmt.Errorf("-watchdog %v -claim %v: want at least 100 ms", o.watchdog, o.claim)
	case o.drain <= 0:
		err = fmt.Errorf("-drain-timeout %v: want more than 0", o.drain)
	}
	return o, false, err
}

// run is the dispatcher. It returns once it was told to stop and no job is under way.
func run(ctx context.Context, o options) error {
	svc, err := handoff.Open(ctx, handoff.Options{
		DrainTimeout: o.drain,
		MaxConns:     1000,
		Report:       func(err error) { slog.Warn("went on from a problem", "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	ln, err := svc.Listen("jobs", "tcp", o.listen)
	if err != nil {
		return err
	}
	sockets, err := os.MkdirTemp("", "holdfast-worker-") // only this user reaches
	if err != nil {
		return err
	}
	defer os.RemoveAll(sockets)

	l := &launcher{sockets: sockets, watchdog: o.watchdog}
	// What is not finished by then still has time to be carried on, to be begun anew.
	p := newPool(o.workers, o.drain*3/4, l.launch, slog.Default())
	clients, err := svc.Carry("jobs", func(ctx context.Context, c net.Conn, left []byte) ([]byte, error) {
		return serve(ctx, c, left, p.do)
	})
	if err != nil {
		return err
	}
	if err := clients.Serve(ln); err != nil {
		return err
	}
	if err := svc.Go(p.run); err != nil {
		return err
	}
	if o.queue != "" {
		q, err := openQueue(ctx, o, p.do)
		if err != nil {
			return err
		}
		defer q.Close()
		if err := svc.Go(q.run); err != nil {
			return err
		}
	}
	if err := p.start(ctx); err != nil { // READY=1 comes after that: the workers are warm then
		return fmt.Errorf("start the workers: %w", err)
	}
	return svc.Run(ctx)
}
