package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

// A controller is the control socket of run. Without it the service goes on: it
// still reloads by signal.
type controller struct {
	log      *slog.Logger
	listener *control.Listener // nil: there is none
	server   *control.Server
}

// openControl makes the socket, or goes on with that of the program before.
func openControl(c *cli.Command, log *slog.Logger, s control.Supervisor, heir *supervisor.Heir) *controller {
	ctl := &controller{log: log}
	o := control.Options{
		Version: version,
		Report:  func(err error) { log.Warn("a client of the control socket", "error", err) },
	}
	var err error
	switch path := controlPath(c); {
	case heir != nil:
		ctl.listener, o.Carried, err = kept(heir)
	case path == "":
		log.Warn("no control socket: neither --control nor RUNTIME_DIRECTORY says where")
	default:
		ctl.listener, err = control.Listen(path)
	}
	if err != nil {
		log.Error("the control socket does not work", "error", err)
	}
	ctl.server = control.NewServer(s, o)
	return ctl
}

// serve answers verbs until ctx ends.
func (ctl *controller) serve(ctx context.Context) {
	if ctl.listener == nil {
		return
	}
	if err := ctl.server.Serve(ctx, ctl.listener); err != nil {
		ctl.log.Error("the control socket does not work", "error", err)
	}
}

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
