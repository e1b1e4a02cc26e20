package main

import (
	"context"
	_ "embed"
	"io"

	"github.com/urfave/cli/v3"
)

// completionBash takes the place of the library's script, which evaluates the words of
// the command line that it completes, and so runs each $(command) in it, and which
// needs the package bash-completion.
//
//go:embed completion.bash
var completionBash string

// completionCommand makes the library's command ours.
func completionCommand(c *cli.Command) {
	c.Hidden = false
	c.Usage = "print what completes command lines in bash, zsh, fish or pwsh"
	other := c.Action
	c.Action = func(ctx context.Context, c *cli.Command) error {
		if c.NArg() == 1 && c.Args().First() == "bash" {
			_, err := io.WriteString(c.Root().Writer, completionBash)
			return err
		}
		return other(ctx, c)
	}
}
