package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/daemon"
	"github.com/holdfast-go/holdfast/handoff/internal/control"
)

func reloadCommand() *cli.Command {
	return &cli.Command{
		Name:      "reload",
		Usage:     "start the program anew beside the old one, and hand over",
		ArgsUsage: "[PROGRAM]",
		Description: "Returns when the new generation serves, or was undone: then the old one serves as before,\n" +
			"and the reason is said with the last lines of the new one's standard error. With PROGRAM,\n" +
			"that is started in place of the configured one, to which the next reload returns. Ends with\n" +
			"0, too, where the service stops meanwhile, and on SIGTERM, which systemd then sends." + exitCodes,
		Flags: []cli.Flag{
			controlFlag(),
			&cli.BoolFlag{Name: "hold", Usage: "return once both accept, and wait for commit or abort"},
			&cli.BoolFlag{Name: "dry-run", Usage: "only see whether the new generation gets ready"},
		},
		Action: reload,
	}
}

// errTerminated is the cause of a wait that SIGTERM has ended.
var errTerminated = errors.New("terminated")

func reload(ctx context.Context, c *cli.Command) error {
	r := control.ReloadRequest{Hold: c.Bool("hold"), DryRun: c.Bool("dry-run")}
	if r.Hold && r.DryRun {
		return usagef("reload: --hold and --dry-run exclude each other")
	}
	if c.NArg() > 1 {
		return usagef("reload: unexpected argument %q", c.Args().Get(1))
	}
	if name := c.Args().First(); name != "" {
		path, err := exec.LookPath(name)
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return usagef("reload: %w", err)
		}
		r.Program = path
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, daemon.SignalStop)
	defer signal.Stop(signals)
	go func() {
		<-signals
		cancel(errTerminated)
	}()
	return ask(ctx, c, func(client *control.Client) (control.Verdict, error) { return client.Reload(ctx, r) })
}

func commitCommand() *cli.Command {
	return &cli.Command{
		Name:        "commit",
		Usage:       "have a held generation take over, and the old one drain",
		Description: "Returns when the new generation serves, and fails where none is held." + exitCodes,
		Flags:       []cli.Flag{controlFlag()},
		Action: func(ctx context.Context, c *cli.Command) error {
			return ask(ctx, c, func(client *control.Client) (control.Verdict, error) { return client.Commit(ctx) })
		},
	}
}

func abortCommand() *cli.Command {
	return &cli.Command{
		Name:        "abort",
		Usage:       "undo a held generation, and keep the old one",
		Description: "Also one that starts or is in its probation; fails where there is none." + exitCodes,
		Flags:       []cli.Flag{controlFlag()},
		Action: func(ctx context.Context, c *cli.Command) error {
			return ask(ctx, c, func(client *control.Client) (control.Verdict, error) { return client.Abort(ctx) })
		},
	}
}
