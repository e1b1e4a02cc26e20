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
			"ignores it; or unwise. A comment in a unit silences one finding about the next line:\n" +
			"  # check: ignore RULE because REASON\n\n" +
			"Exit status: 0 no loss, 1 a loss, 2 used wrongly: also where a unit can't be read.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "systemd", Usage: "the `VERSION` to check for [that of the running manager, or " + strconv.Itoa(check.Newest) + "]"},
			&cli.BoolFlag{Name: "user", Usage: "units of the user's manager"},
			&cli.BoolFlag{Name: "json", Usage: "as JSON"},
			&cli.BoolFlag{Name: "sarif", Usage: "as SARIF 2.1.0, for code hosts"},
			&cli.BoolFlag{Name: "fix", Usage: "print the drop-ins that mend what drop-ins can"},
			&cli.BoolFlag{Name: "write", Usage: "with --fix: write them, and print their paths"},
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
	if v := c.Int("systemd"); c.IsSet("systemd") && (v < check.Oldest || v > check.Newest) {
		return usagef("check: --systemd %d: want a version from %d to %d", v, check.Oldest, check.Newest)
	}
	form, err := checkForm(c)
	if err != nil {
		return err
	}
	loss, err := tools.Check(ctx, w, tools.CheckOptions{
		Args:    c.Args().Slice(),
		Systemd: c.Int("systemd"),
		User:    c.Bool("user"),
		Form:    form,
		Write:   c.Bool("write"),
	})
	if err == nil && loss {
		return exitError(exitUndone)
	}
	return err
}

// checkForm is the one form that the flags ask for.
func checkForm(c *cli.Command) (form tools.Form, err error) {
	asked := ""
	for _, f := range []struct {
		name string
		form tools.Form
	}{{"json", tools.FormJSON}, {"sarif", tools.FormSARIF}, {"fix", tools.FormFix}} {
		if !c.Bool(f.name) {
			continue
		}
		if asked != "" {
			return 0, usagef("check: --%s and --%s: want one of the two", asked, f.name)
		}
		asked, form = f.name, f.form
	}
	if c.Bool("write") && form != tools.FormFix {
		return 0, usagef("check: --write is for --fix")
	}
	return form, nil
}
