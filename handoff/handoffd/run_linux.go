package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a program as generations: the service's main process",
		ArgsUsage: "-- PROGRAM [ARG...]",
		Description: "SIGHUP reloads. SIGTERM and SIGINT stop; a second SIGINT gives what still drains two\n" +
			"seconds, until it is killed. Durations are such as 500ms, 30s or 2m; where none is\n" +
			"given, the one in brackets holds.\n" +
			"Exits as the program did: with its exit status, or 128 and the number of the signal that ended\n" +
			"it, so 137 where it had to be killed; else 1 where it could not begin, 2 used wrongly.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "listen", Usage: "bind `NAME=ADDRESS` where no manager passed sockets; again for more"},
			&cli.BoolFlag{Name: "no-sockets", Usage: "start although no sockets were passed: the program needs none, or binds its own"},
			&cli.StringFlag{Name: "ready", Value: "notify", Usage: "what makes a generation ready: notify, exec or alive:DURATION"},
			&cli.StringFlag{Name: "notify-access", Value: "main", Usage: "whose notifications are heard: main or all"},
			&cli.StringFlag{Name: "environment-file", TakesFile: true, Usage: "variables, read anew for each generation: `FILE`"},
			&cli.DurationFlag{Name: "ready-timeout", Usage: "how long a generation may take until it is ready [90s]"},
			&cli.DurationFlag{Name: "probation", Usage: "how long both accept before the commit [0s]"},
			&cli.DurationFlag{Name: "hold-timeout", Usage: "how long a held generation waits, until it is undone [10m]"},
			&cli.DurationFlag{Name: "drain-timeout", Usage: "how long a generation may take to end, until it is killed [60s]"},
			&cli.StringFlag{Name: "stop-signal", Value: "SIGTERM", Usage: "what tells a generation to end"},
			&cli.IntFlag{Name: "max-generations", Usage: "how many may be alive at once, those that drain included [8]"},
			&cli.DurationFlag{Name: "watchdog", Usage: "the longest silence of a generation [as WatchdogSec=]"},
			&cli.IntFlag{Name: "store", Usage: "how many descriptors generations may store [one less than FileDescriptorStoreMax=, or 64]"},
			&cli.StringFlag{Name: "control", Usage: "the control socket: `PATH` [$RUNTIME_DIRECTORY/control]"},
			&cli.BoolFlag{Name: "debug", Usage: "log every event and what follows from it"},
		},
		Action: func(ctx context.Context, c *cli.Command) error { return run(ctx, c) },
	}
}

// options reads the flags of run.
func options(c *cli.Command) (o supervisor.Options, err error) {
	o = supervisor.Options{
		Program:         c.Args().Slice(),
		EnvironmentFile: c.String("environment-file"),
		NoSockets:       c.Bool("no-sockets"),
		Watchdog:        c.Duration("watchdog"),
		Store:           c.Int("store"),
		Limits: supervisor.Limits{
			ReadyTimeout:   c.Duration("ready-timeout"),
			Probation:      c.Duration("probation"),
			HoldTimeout:    c.Duration("hold-timeout"),
			DrainTimeout:   c.Duration("drain-timeout"),
			MaxGenerations: c.Int("max-generations"),
		},
	}
	if len(o.Program) == 0 {
		return o, usagef("run: no program: handoffd run [flags] -- PROGRAM [ARG...]")
	}
	for _, name := range []string{"ready-timeout", "probation", "hold-timeout", "drain-timeout", "watchdog"} {
		if d := c.Duration(name); d < 0 {
			return o, usagef("run: --%s %v: want a duration that is not negative", name, d)
		}
	}
	for _, name := range []string{"max-generations", "store"} {
		if n := c.Int(name); c.IsSet(name) && n < 1 {
			return o, usagef("run: --%s %d: want a number above 0", name, n)
		}
	}
	for _, text := range c.StringSlice("listen") {
		a, err := supervisor.ParseAddress(text)
		if err != nil {
			return o, usagef("run: --listen %w", err)
		}
		o.Listen = append(o.Listen, a)
	}
	if o.Ready, err = supervisor.ParseReady(c.String("ready")); err != nil {
		return o, usagef("run: --ready %w", err)
	}
	if o.NotifyAccess, err = supervisor.ParseNotifyAccess(c.String("notify-access")); err != nil {
		return o, usagef("run: --notify-access %w", err)
	}
	name := strings.ToUpper(c.String("stop-signal"))
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if o.StopSignal = unix.SignalNum(name); o.StopSignal == 0 {
		return o, usagef("run: --stop-signal %q: there is no such signal", c.String("stop-signal"))
	}
	return o, nil
}

// run is the service's main process.
func run(ctx context.Context, c *cli.Command) error {
	o, err := options(c)
	if err != nil {
		return err
	}
	log := newLogger(os.Stderr, c.Bool("debug"))
	o.Log = log
	s, err := supervisor.New(o)
	if err != nil {
		return err
	}
	// Before the first generation is ready: from then on the manager may reload.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan struct{})
	go func() {
		defer close(served)
		serveControl(ctx, log, controlPath(c), s)
	}()
	go func() {
		interrupts := 0
		for sig := range signals {
			if sig == syscall.SIGINT {
				interrupts++
			}
			switch {
			case sig == syscall.SIGHUP:
				s.Hangup()
			case sig == syscall.SIGINT && interrupts > 1:
				s.Hurry()
			default:
				s.Stop()
			}
		}
	}()
	end, err := s.Run(context.WithoutCancel(ctx))
	cancel()
	<-served
	if err != nil {
		return err
	}
	if end.Reason != "" {
		log.Error("the service ends", "reason", end.Reason, "status", end.Status.String())
	}
	if code := end.Code(); code != 0 {
		return exitError(code)
	}
	return nil
}

// serveControl answers verbs until ctx ends. Without it the service goes on: it
// still reloads by SIGHUP.
func serveControl(ctx context.Context, log *slog.Logger, path string, s *supervisor.Supervisor) {
	if path == "" {
		log.Warn("no control socket: neither --control nor RUNTIME_DIRECTORY says where")
		return
	}
	l, err := control.Listen(path)
	if err == nil {
		err = control.Serve(ctx, l, controlled{s}, control.Options{
			Version: version,
			Report:  func(err error) { log.Warn("a client of the control socket", "error", err) },
		})
	}
	if err != nil {
		log.Error("the control socket does not work", "error", err)
	}
}

// controlPath is where the control socket is; "" where nothing says it.
func controlPath(c *cli.Command) string {
	if path := c.String("control"); path != "" {
		return path
	}
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		return filepath.Join(dir, "control")
	}
	return ""
}

// controlFlag is for the verbs that ask a running handoffd.
func controlFlag() cli.Flag {
	return &cli.StringFlag{Name: "control", Usage: "the control socket: `PATH` [$RUNTIME_DIRECTORY/control]"}
}

// dial connects to the handoffd that c is for.
func dial(ctx context.Context, c *cli.Command) (*control.Client, error) {
	if c.Args().Present() && c.Name != "reload" {
		return nil, usagef("%s: unexpected argument %q", c.Name, c.Args().First())
	}
	path := controlPath(c)
	if path == "" {
		return nil, fmt.Errorf("%s: %w: neither --control nor RUNTIME_DIRECTORY says where", c.Name, control.ErrNoServer)
	}
	client, err := control.Dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return client, nil
}
