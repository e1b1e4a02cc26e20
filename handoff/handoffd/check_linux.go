package main

import (
	"context"
	"strconv"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/tools"
	"github.com/holdfast-go/holdfast/units/check"
)

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say what in unit files would lose a client",
		ArgsUsage: "FILE|UNIT...",
		Description: "Reads a service and its sockets, with their drop-ins, as systemd merges them. What has\n" +
			"a slash in it, or is in the working folder, is a file; then what belongs to it is\n" +
			"looked for in the same folder. Anything else is a unit of the running manager.\n\n" +
			"A finding is a loss: a client is refused, cut or not answered; or ineffective: systemd\n" +
			"ignores it; or unwise. The exit status is 1 where there is a loss.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "systemd", Usage: "the `VERSION` to check for [that of the running manager, or " + strconv.Itoa(check.Newest) + "]"},
			&cli.BoolFlag{Name: "user", Usage: "units of the user's manager"},
			&cli.BoolFlag{Name: "json", Usage: "as JSON"},
			&cli.BoolFlag{Name: "fix", Usage: "print the drop-ins that mend what drop-ins can"},
			&cli.BoolFlag{Name: "rules", Usage: "list the rules, and why each is there"},
		},
		Action: runCheck,
	}
}

func runCheck(ctx context.Context, c *cli.Command) error {
	w := c.Root().Writer
	if c.Bool("rules") {
		return tools.PrintRules(w, c.Bool("json"))
	}
	if !c.Args().Present() {
		return usagef("check: no unit: handoffd check [flags] FILE|UNIT...")
	}
	if v := c.Int("systemd"); c.IsSet("systemd") && v < 1 {
		return usagef("check: --systemd %d: want a version such as 252", v)
	}
	loss, err := tools.Check(ctx, w, tools.CheckOptions{
		Args:    c.Args().Slice(),
		Systemd: c.Int("systemd"),
		User:    c.Bool("user"),
		JSON:    c.Bool("json"),
		Fix:     c.Bool("fix"),
	})
	if err == nil && loss {
		return exitError(exitUndone)
	}
	return err
}
