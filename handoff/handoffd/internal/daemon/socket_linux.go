package daemon

import (
	"context"
	"log/slog"

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
func openControl(o Options, log *slog.Logger, s control.Supervisor, successor *supervisor.Successor) *controller {
	ctl := &controller{log: log}
	server := control.Options{
		Version: o.Version,
		Report:  func(err error) { log.Warn("a client of the control socket", "error", err) },
	}
	var err error
	switch {
	case successor != nil:
		ctl.listener, server.Carried, err = kept(successor)
	case o.Control == "":
		log.Warn("no control socket: neither --control nor RUNTIME_DIRECTORY says where")
	default:
		ctl.listener, err = control.Listen(o.Control)
	}
	if err != nil {
		log.Error("the control socket does not work", "error", err)
	}
	ctl.server = control.NewServer(s, server)
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
