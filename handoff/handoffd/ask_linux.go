package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
)

// errNoPath is a verb that does not know where the control socket is.
var errNoPath = fmt.Errorf("%w: neither --control, such as /run/app/control, nor RUNTIME_DIRECTORY says where", control.ErrNoServer)

// controlPath is where the control socket is; "" where nothing says it.
func controlPath(c *cli.Command) string {
	if path := c.String("control"); path != "" {
		return path
	}
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		return filepath.Join(dir, "control")
	}
	return ""
}

// controlFlag is for the verbs that ask a running handoffd.
func controlFlag() cli.Flag {
	return &cli.StringFlag{Name: "control", Usage: "the control socket: `PATH` [$RUNTIME_DIRECTORY/control]"}
}

// dial connects to the handoffd that c is for.
func dial(ctx context.Context, c *cli.Command) (*control.Client, error) {
	if c.Args().Present() && c.Name != "reload" {
		return nil, usagef("%s: unexpected argument %q", c.Name, c.Args().First())
	}
	path := controlPath(c)
	if path == "" {
		return nil, fmt.Errorf("%s: %w", c.Name, errNoPath)
	}
	client, err := control.Dial(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return client, nil
}

// ask asks the handoffd that c is for, and says what became of it.
func ask(ctx context.Context, c *cli.Command, f func(*control.Client) (control.Verdict, error)) error {
	client, err := dial(ctx, c)
	if err != nil {
		return err
	}
	defer client.Close()
	v, err := f(client)
	if err != nil {
		if context.Cause(ctx) == errTerminated || c.Name == "reload" && errors.Is(err, control.ErrStopping) {
			// A failing ExecReload= would make the service fail that was only stopped.
			fmt.Fprintln(c.Root().Writer, "the wait has ended:", err)
			return nil
		}
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	text := string(v.Outcome)
	if v.Generation != 0 {
		text = fmt.Sprintf("generation %d: %s", v.Generation, v.Outcome)
	}
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	fmt.Fprintln(c.Root().Writer, text)
	return nil
}
