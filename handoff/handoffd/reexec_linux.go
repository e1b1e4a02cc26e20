package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
)

func reexecCommand() *cli.Command {
	return &cli.Command{
		Name:  "reexec",
		Usage: "replace handoffd itself by the newest one at its path",
		Description: "Everything goes on, the program's generations and reloads under way among it, under\n" +
			"the same PID. Returns when the new handoffd answers (exit status 0), or cannot take\n" +
			"over (1); then the old one goes on.",
		Flags: []cli.Flag{controlFlag()},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("reexec: unexpected argument %q", c.Args().First())
			}
			path := controlPath(c)
			if path == "" {
				return fmt.Errorf("reexec: %w", errNoPath)
			}
			if err := control.Reexec(ctx, path); err != nil {
				return fmt.Errorf("reexec: %w", err)
			}
			fmt.Fprintln(c.Root().Writer, "handoffd has replaced itself")
			return nil
		},
	}
}
