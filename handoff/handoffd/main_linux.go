package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/tools"
	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

// version is what --version says, and Status. The build sets it:
// -ldflags "-X main.version=1.2.3".
var version = "dev"

// What handoffd exits with.
const (
	exitDone        = 0
	exitUndone      = 1
	exitUsage       = 2
	exitDown        = 3  // as systemctl status of a unit that is not active
	exitUnavailable = 69 // EX_UNAVAILABLE of sysexits.h(3head)
)

func main() {
	if err := supervisor.ExecStep(); err != nil {
		fmt.Fprintln(os.Stderr, "handoffd:", err)
		os.Exit(127)
	}
	os.Exit(execute(context.Background(), os.Args, os.Stdout, os.Stderr))
}

// An exitError ends handoffd with a status. What there was to say has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// A usageError is a mistake on the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// execute runs one command line, and returns what to exit with.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := newCommand(stdout, stderr).Run(ctx, args)
	if err == nil {
		return exitDone
	}
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	fmt.Fprintln(stderr, "handoffd:", err)
	if undone, ok := errors.AsType[*control.UndoneError](err); ok {
		for _, line := range undone.Output {
			fmt.Fprintln(stderr, "  |", line)
		}
	}
	switch _, usage := errors.AsType[*usageError](err); {
	case usage || errors.Is(err, tools.ErrUsage):
		return exitUsage
	case errors.Is(err, control.ErrNoServer) || errors.Is(err, control.ErrGone) || errors.Is(err, control.ErrPermission):
		return exitUnavailable
	}
	return exitUndone
}

// exitCodes is the end of every verb's help.
const exitCodes = "\nExit status: 0 done, 1 not done, 2 used wrongly, 69 no handoffd is there."

func newCommand(stdout, stderr io.Writer) *cli.Command {
	root := &cli.Command{
		Name:  "handoffd",
		Usage: "keep a service answering while its program is replaced",
		Description: "handoffd is the main process of a service, and runs its program as generations. On\n" +
			"\"systemctl reload\" it starts the program anew beside the generation that serves. When\n" +
			"the new one is ready it takes over, and the old one finishes its work and ends; if the\n" +
			"new one fails, the old one goes on as before, and the reload fails and says why.\n\n" +
			"  [Service]\n" +
			"  Type=notify\n" +
			"  ExecStart=/usr/local/bin/handoffd run -- /usr/bin/app\n" +
			"  ExecReload=/usr/local/bin/handoffd reload\n\n" +
			"Commands exit with 0 when it is done, 1 when it failed or was undone, 2 when they were\n" +
			"used wrongly, and 69 where no handoffd is to be reached. run exits as the program did.",
		Version:                         version,
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: completionCommand,
		Writer:                          stdout,
		ErrWriter:                       stderr,
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // execute does it
		OnUsageError:                    misused,
		Action: func(_ context.Context, c *cli.Command) error {
			if name := c.Args().First(); name != "" {
				return usagef("there is no command %q; handoffd --help lists them", name)
			}
			cli.ShowRootCommandHelp(c)
			return exitError(exitUsage)
		},
		Commands: []*cli.Command{
			runCommand(),
			reloadCommand(),
			commitCommand(),
			abortCommand(),
			drainCommand(),
			undrainCommand(),
			statusCommand(),
			checkCommand(),
			unitCommand(),
			reexecCommand(),
			manCommand(),
		},
	}
	for _, c := range root.Commands {
		c.OnUsageError = misused
		// In "unit app --help" the argument is taken for a command below unit.
		c.CommandNotFound = func(ctx context.Context, c *cli.Command, _ string) { cli.ShowCommandHelp(ctx, root, c.Name) }
		for _, f := range c.Flags {
			hideZero(f)
		}
	}
	return root
}

// hideZero keeps a default of 0 out of the help: there the usage says in brackets
// what holds.
func hideZero(f cli.Flag) {
	switch f := f.(type) {
	case *cli.DurationFlag:
		f.HideDefault = f.Value == 0
	case *cli.IntFlag:
		f.HideDefault = f.Value == 0
	}
}

func misused(_ context.Context, _ *cli.Command, err error, _ bool) error { return &usageError{err} }
