package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/tools"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/programs"
)

func unitCommand() *cli.Command {
	return &cli.Command{
		Name:      "unit",
		Usage:     "print a pair of units for a program, or write it",
		ArgsUsage: "NAME -- PROGRAM [ARG...]",
		Description: "Prints NAME.socket and NAME.service, with comments that say why each line is there.\n" +
			"An ADDRESS is IP:PORT, :PORT or PORT, a path, or @NAME; udp:, unixgram: or unix: before\n" +
			"it says what it is. Sockets with several names take a unit each. Time limits and counts\n" +
			"agree with each other. The kinds:\n\n" + kindsText() + "\n\n" +
			"A drop-in resets what does not go with handoffd in the unit that it is for: run it where\n" +
			"that unit is installed. --for knows how these programs take sockets, and what ends them:\n" +
			strings.Join(programs.Names(), ", ") + ".",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "listen", Usage: "a socket: `NAME=ADDRESS`; again for more"},
			&cli.StringFlag{Name: "kind", Value: string(units.KindHandoffd), Usage: "what the pair is for: `KIND`"},
			&cli.StringFlag{Name: "for", Usage: "what the program is, which says the flags below: `PROGRAM`"},
			&cli.StringFlag{Name: "ready", Usage: "what makes the program ready: notify, accept, exec or alive:DURATION [notify, with --compat alive:1s]"},
			&cli.StringFlag{Name: "compat", Usage: "for a program of start_server or Einhorn: server-starter or einhorn"},
			&cli.StringFlag{Name: "stop-signal", Usage: "what tells the program to end, with handoffd: QUIT or the like [TERM]"},
			&cli.DurationFlag{Name: "pause-workers", Usage: "how long that may wait for workers to be without a connection, with handoffd [0s: not at all]"},
			&cli.DurationFlag{Name: "ready-timeout", Usage: "how long the program may take until it is ready [90s]"},
			&cli.DurationFlag{Name: "drain-timeout", Usage: "how long it may take to end, until it is killed [60s, without handoffd 20s]"},
			&cli.DurationFlag{Name: "watchdog", Usage: "the longest silence of a program that sends WATCHDOG=1"},
			&cli.IntFlag{Name: "store", Usage: "how many descriptors it may store [64, without handoffd 16]"},
			&cli.IntFlag{Name: "systemd", Value: 247, Usage: "the oldest `VERSION` that the units are for"},
			&cli.BoolFlag{Name: "user", Usage: "for the manager of a user (systemctl --user)"},
			&cli.StringFlag{Name: "handoffd", Value: "/usr/local/bin/handoffd", Usage: "where handoffd will be: `PATH`"},
			&cli.StringFlag{Name: "write", Usage: "write the files into the folder `DIR`", TakesFile: true},
			&cli.BoolFlag{Name: "force", Usage: "replace files that are there"},
		},
		Action: printUnits,
	}
}

// kindsText tells of each kind in a line or two.
func kindsText() string {
	var b strings.Builder
	for _, k := range units.Kinds {
		fmt.Fprintf(&b, "  %-16s %s\n", k, k.About())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func printUnits(_ context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return usagef("unit: no name: handoffd unit NAME [flags] -- PROGRAM [ARG...]")
	}
	if c.Bool("force") && !c.IsSet("write") {
		return usagef("unit: --force is for --write")
	}
	d := units.Description{
		Name:         c.Args().First(),
		Kind:         units.Kind(c.String("kind")),
		Command:      c.Args().Tail(),
		Ready:        c.String("ready"),
		Compat:       c.String("compat"),
		StopSignal:   c.String("stop-signal"),
		PauseWorkers: c.Duration("pause-workers"),
		ReadyTimeout: c.Duration("ready-timeout"),
		DrainTimeout: c.Duration("drain-timeout"),
		Watchdog:     c.Duration("watchdog"),
		Store:        c.Int("store"),
		Handoffd:     c.String("handoffd"),
		Systemd:      c.Int("systemd"),
		User:         c.Bool("user"),
	}
	for _, name := range []string{"pause-workers", "ready-timeout", "drain-timeout", "watchdog"} {
		if c.IsSet(name) && c.Duration(name) <= 0 {
			return usagef("unit: --%s %v: want a duration above 0", name, c.Duration(name))
		}
	}
	for _, name := range []string{"store", "systemd"} {
		if c.IsSet(name) && c.Int(name) < 1 {
			return usagef("unit: --%s %d: want a number above 0", name, c.Int(name))
		}
	}
	for _, text := range c.StringSlice("listen") {
		a, err := supervisor.ParseAddress(text)
		if err != nil {
			return usagef("unit: --listen %w", err)
		}
		d.Sockets = append(d.Sockets, units.Socket(a))
	}
	if c.IsSet("for") {
		p, err := programs.Find(c.String("for"))
		if err != nil {
			return usagef("unit: --for: %w", err)
		}
		if d, err = p.Describe(d); err != nil {
			return usagef("unit: --for: %w", err)
		}
	}
	if d.Kind == units.KindDropIn {
		around, err := tools.Around(d.Name, d.User)
		if err != nil {
			return usagef("unit: %w", err)
		}
		d.Around = around
	}
	w := c.Root().Writer
	if c.IsSet("write") {
		return tools.WriteUnits(w, c.String("write"), d, c.Bool("force"))
	}
	return tools.PrintUnits(w, d)
}
