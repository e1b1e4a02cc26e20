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

// completionCommand makes the library's command ours: it has a command for each shell.
func completionCommand(c *cli.Command) {
	c.Hidden = false
	c.Usage = "print what completes command lines in bash, zsh, fish or pwsh"
	c.ArgsUsage, c.UsageText = "SHELL", "handoffd completion SHELL"
	c.Description = "The shell reads it when it starts:\n\n" +
		"  echo 'source <(handoffd completion bash)' >>~/.bashrc\n" +
		"  echo 'source <(handoffd completion zsh)' >>~/.zshrc\n" +
		"  handoffd completion fish >~/.config/fish/completions/handoffd.fish"
	c.Action = func(_ context.Context, c *cli.Command) error {
		if c.Args().Present() {
			return usagef("completion: %q: want bash, zsh, fish or pwsh", c.Args().First())
		}
		return usagef("completion: no shell: want bash, zsh, fish or pwsh")
	}
	for _, shell := range c.Commands {
		if shell.Name == "bash" {
			shell.Action = func(_ context.Context, c *cli.Command) error {
				_, err := io.WriteString(c.Root().Writer, completionBash)
				return err
			}
		}
	}
}
