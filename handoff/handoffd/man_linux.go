package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/tools"
)

// manPages are the sections of the manual, by the command. All other commands
// stand in the page of handoffd itself.
var manPages = map[string]int{"handoffd": 8, "unit": 1, "check": 1}

func manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "print a manual page: of handoffd, or of unit or check",
		ArgsUsage: "[COMMAND]",
		Description: "The page is made of what --help prints, for man(1):\n\n" +
			"  handoffd man >/usr/local/share/man/man8/handoffd.8\n" +
			"  handoffd man unit >/usr/local/share/man/man1/handoffd-unit.1",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.NArg() > 1 {
				return usagef("man: unexpected argument %q", c.Args().Get(1))
			}
			root := c.Root()
			shown := root
			if name := c.Args().First(); name != "" && name != root.Name {
				if shown = root.Command(name); shown == nil || manPages[name] == 0 {
					return usagef("man: there is no page of %q", name)
				}
			}
			_, err := io.WriteString(root.Writer, tools.ManPage(root, shown, manPages))
			return err
		},
	}
}
