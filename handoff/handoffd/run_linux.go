package main

import (
	"cmp"
	"context"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/daemon"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a program as generations: the service's main process",
		ArgsUsage: "-- PROGRAM [ARG...]",
		Description: "SIGHUP and SIGRTMIN+1 reload, SIGUSR2 is reexec. SIGTERM, SIGUSR1 and SIGINT stop; a second\n" +
			"SIGINT gives what still drains two seconds, until it is killed. Durations are such as\n" +
			"500ms, 30s or 2m; where none is given, the one in brackets holds.\n" +
			"Exits as the program did: with its exit status, or 128 and the number of the signal that ended\n" +
			"it, so 137 where it had to be killed; else 1 where it could not begin, 2 used wrongly.",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "listen", Usage: "bind `NAME=ADDRESS` where no manager passed sockets; again for more"},
			&cli.BoolFlag{Name: "no-sockets", Usage: "start although no sockets were passed: the program needs none, or binds its own"},
			&cli.StringFlag{Name: "ready", Usage: "what makes a generation ready: notify, accept, exec or alive:DURATION [notify, with --compat alive:1s]"},
			&cli.BoolFlag{Name: "accept-later", Usage: "READY=1 is enough: a generation need not wait for clients yet, as a standby does not"},
			&cli.DurationFlag{Name: "accept-timeout", Usage: "how long one may take to wait for clients after READY=1 [10s]"},
			&cli.StringFlag{Name: "probe", Usage: "what a generation must answer to be ready: `http://NAME/PATH`, tcp, tcp:NAME or a command"},
			&cli.IntFlag{Name: "probe-times", Usage: "how many good answers of it that takes [1]"},
			&cli.DurationFlag{Name: "probe-timeout", Usage: "how long it may take to give them [10s]"},
			&cli.StringFlag{Name: "notify-access", Value: "main", Usage: "whose notifications are heard: main or all"},
			&cli.StringFlag{Name: "environment-file", TakesFile: true, Usage: "variables, read anew for each generation: `FILE`"},
			&cli.StringFlag{Name: "envdir", TakesFile: true, Usage: "variables, a file each, read anew for each generation: `DIR`"},
			&cli.StringFlag{Name: "compat", Usage: "pass sockets in another way, too: server-starter (SERVER_STARTER_PORT) or einhorn (EINHORN_FD_0)"},
			&cli.DurationFlag{Name: "ready-timeout", Usage: "how long a generation may take until it is ready [90s]"},
			&cli.DurationFlag{Name: "probation", Usage: "how long both accept before the commit [0s]"},
			&cli.DurationFlag{Name: "hold-timeout", Usage: "how long a held generation waits, until it is undone [10m]"},
			&cli.DurationFlag{Name: "release-timeout", Usage: "how long the old generation may take to hand over, until it cannot come back [5s]"},
			&cli.DurationFlag{Name: "handover-timeout", Usage: "how long the new one may take to take over, until it is undone [30s]"},
			&cli.DurationFlag{Name: "drain-timeout", Usage: "how long a generation may take to end, until it is killed [60s]"},
			&cli.StringFlag{Name: "stop-signal", Value: "SIGTERM", Usage: "what tells a generation to end: a name, a number, or RTMIN+N"},
			&cli.DurationFlag{Name: "pause-workers", Usage: "before that signal stop workers (SIGSTOP) while they have no connection; how long that may take [0s: it is not done]"},
			&cli.DurationFlag{Name: "give-up", Usage: "give up when no generation has lasted 10s for so long [after 10 deaths in a row]"},
			&cli.IntFlag{Name: "max-generations", Usage: "how many may be alive at once, those that drain included [8]"},
			&cli.DurationFlag{Name: "watchdog", Usage: "the longest silence of a generation [as WatchdogSec=]"},
			&cli.IntFlag{Name: "store", Usage: "how many descriptors generations may store [one less than FileDescriptorStoreMax=, or 64]"},
			&cli.StringFlag{Name: "control", Usage: "the control socket: `PATH` [$RUNTIME_DIRECTORY/control]"},
			&cli.StringFlag{Name: "pid-file", TakesFile: true, Usage: "write the PID of handoffd to `FILE`, and hold a lock on it"},
			&cli.StringFlag{Name: "status-file", TakesFile: true, Usage: "write to `FILE` which generations serve or drain: NUMBER:PID a line"},
			&cli.BoolFlag{Name: "debug", Usage: "log every event and what follows from it"},
		},
		Action: run,
	}
}

// run is the service's main process, and exits as the program did.
func run(ctx context.Context, c *cli.Command) error {
	o, err := options(c)
	if err != nil {
		return err
	}
	code, err := daemon.Run(ctx, daemon.Options{
		Supervisor: o,
		Version:    version,
		Control:    controlPath(c),
		PIDFile:    c.String("pid-file"),
		StatusFile: c.String("status-file"),
		Debug:      c.Bool("debug"),
	})
	if err == nil && code != 0 {
		return exitError(code)
	}
	return err
}

// options reads the flags of run.
func options(c *cli.Command) (o supervisor.Options, err error) {
	o = supervisor.Options{
		Program:         c.Args().Slice(),
		EnvironmentFile: c.String("environment-file"),
		EnvDir:          c.String("envdir"),
		NoSockets:       c.Bool("no-sockets"),
		Watchdog:        c.Duration("watchdog"),
		PauseWorkers:    c.Duration("pause-workers"),
		Store:           c.Int("store"),
		AcceptLater:     c.Bool("accept-later"),
		AcceptTimeout:   c.Duration("accept-timeout"),
		ProbeTimeout:    c.Duration("probe-timeout"),
		Limits: supervisor.Limits{
			ReadyTimeout:    c.Duration("ready-timeout"),
			Probation:       c.Duration("probation"),
			HoldTimeout:     c.Duration("hold-timeout"),
			ReleaseTimeout:  c.Duration("release-timeout"),
			HandoverTimeout: c.Duration("handover-timeout"),
			DrainTimeout:    c.Duration("drain-timeout"),
			MaxGenerations:  c.Int("max-generations"),
			GiveUpAfter:     c.Duration("give-up"),
		},
	}
	if len(o.Program) == 0 {
		return o, usagef("run: no program: handoffd run [flags] -- PROGRAM [ARG...]")
	}
	for _, name := range []string{"ready-timeout", "probation", "hold-timeout", "release-timeout", "handover-timeout", "drain-timeout", "pause-workers", "watchdog", "accept-timeout", "probe-timeout", "give-up"} {
		if d := c.Duration(name); d < 0 {
			return o, usagef("run: --%s %v: want a duration that is not negative", name, d)
		}
	}
	if drain := cmp.Or(o.Limits.DrainTimeout, supervisor.DefaultDrainTimeout); o.PauseWorkers >= drain {
		return o, usagef("run: --pause-workers %v: want less than --drain-timeout, %v", o.PauseWorkers, drain)
	}
	for _, name := range []string{"max-generations", "store", "probe-times"} {
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
	ready := c.String("ready")
	if c.IsSet("compat") {
		if o.Compat, err = supervisor.ParseCompat(c.String("compat")); err != nil {
			return o, usagef("run: --compat %w", err)
		}
		// What start_server and Einhorn wait for, unless they are told otherwise.
		ready = cmp.Or(ready, "alive:1s")
	}
	if text := c.String("probe"); c.IsSet("probe") {
		p, err := supervisor.ParseProbe(text)
		if err != nil {
			return o, usagef("run: --probe %w", err)
		}
		p.Times = c.Int("probe-times")
		o.Probe = &p
	}
	if o.Ready, err = supervisor.ParseReady(cmp.Or(ready, "notify")); err != nil {
		return o, usagef("run: --ready %w", err)
	}
	if o.AcceptLater && o.Ready.String() != "notify" {
		return o, usagef("run: --accept-later with --ready %v: without READY=1 nothing is left to wait for", o.Ready)
	}
	if o.NotifyAccess, err = supervisor.ParseNotifyAccess(c.String("notify-access")); err != nil {
		return o, usagef("run: --notify-access %w", err)
	}
	if o.StopSignal, err = supervisor.ParseStopSignal(c.String("stop-signal")); err != nil {
		return o, usagef("run: --stop-signal %w", err)
	}
	return o, nil
}
