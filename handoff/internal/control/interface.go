package control

import (
	"context"
	_ "embed" // the description
	"errors"
	"fmt"
	"time"

	"github.com/varlink/go/varlink"
)

// Interface is the name of the Varlink interface.
const Interface = "io.github.holdfast-go.handoffd"

// description is the interface in Varlink's own language, which is its reference.
//
//go:embed io.github.holdfast-go.handoffd.varlink
var description string

// monitorPause is the least time between two states that a monitor is told: a
// generation that sends STATUS= all the time must not keep the others busy.
const monitorPause = 100 * time.Millisecond

// methods answers the calls of the interface. The errors of its functions are
// those of the connection, which ends.
type methods struct {
	supervisor Supervisor
}

// newService returns what answers the calls of all interfaces.
func newService(s Supervisor, version string) *varlink.Service {
	service, err := varlink.NewService("Holdfast", "handoffd", version, "https://github.com/holdfast-go/holdfast")
	if err == nil {
		err = service.RegisterInterface(&methods{s})
	}
	if err != nil {
		panic(err) // the only reason is a name that is registered twice
	}
	return service
}

func (m *methods) VarlinkGetName() string        { return Interface }
func (m *methods) VarlinkGetDescription() string { return description }

// VarlinkDispatch answers one call.
func (m *methods) VarlinkDispatch(ctx context.Context, call varlink.Call, method string) error {
	var reload ReloadRequest
	var lameDuck uint32 // microseconds, so an hour and more
	into := map[string]any{}
	switch method {
	case "Reload":
		into = map[string]any{"hold": &reload.Hold, "dryRun": &reload.DryRun, "program": &reload.Program}
	case "Drain":
		into = map[string]any{"lameDuckUSec": &lameDuck}
	case "Commit", "Abort", "Undrain", "Reexec", "Status", "Monitor":
	default:
		return call.ReplyMethodNotFound(ctx, Interface+"."+method)
	}
	invalid, ok := parameters(call.In.Parameters, into)
	if ok {
		invalid, ok = reload.invalid()
	}
	if !ok {
		return call.ReplyInvalidParameter(ctx, invalid)
	}

	switch method {
	case "Reexec", "Drain", "Undrain":
		// Another server would begin these anew: it does not know them by a number.
		call.Conn.(*client).finish()
	}
	switch method {
	case "Monitor":
		return m.monitor(ctx, call)
	case "Status":
		status, _, err := m.supervisor.Status(ctx)
		return answer(ctx, call, statusReply{status.forWire()}, err)
	case "Reexec":
		return answer(ctx, call, nil, m.supervisor.Reexec(ctx))
	case "Reload":
		return verdict(ctx, call)(m.supervisor.Reload(ctx, reload))
	case "Commit":
		return verdict(ctx, call)(m.supervisor.Commit(ctx))
	case "Drain":
		return verdict(ctx, call)(m.supervisor.Drain(ctx, time.Duration(lameDuck)*time.Microsecond))
	case "Undrain":
		return verdict(ctx, call)(m.supervisor.Undrain(ctx))
	}
	return verdict(ctx, call)(m.supervisor.Abort(ctx))
}

type (
	statusReply struct {
		Status Status `json:"status"`
	}
	verdictReply struct {
		Verdict Verdict `json:"verdict"`
	}
)

// verdict returns what answers a call with a verdict.
func verdict(ctx context.Context, call varlink.Call) func(Verdict, error) error {
	return func(v Verdict, err error) error {
		if err == nil {
			err = v.Err()
		}
		return answer(ctx, call, verdictReply{v.forWire()}, err)
	}
}

// answer answers a call with an error, if there is one.
func answer(ctx context.Context, call varlink.Call, parameters any, err error) error {
	if err == nil {
		return call.Reply(ctx, parameters)
	}
	name, p := toWire(atEnd(ctx, err))
	return replyError(ctx, call, name, p)
}

// replyError is Call.ReplyError, which refuses errors of org.varlink.service.
func replyError(ctx context.Context, call varlink.Call, name string, p errorParameters) error {
	if call.IsOneway() {
		return nil
	}
	message, err := encode(errorReply{name, p})
	if err == nil {
		_, err = call.Conn.Write(ctx, message)
	}
	return err
}

// errHungUp ends the connection of a monitor that is gone.
var errHungUp = errors.New("the client hung up")

// monitor tells the states until the client is gone or ctx ends.
func (m *methods) monitor(ctx context.Context, call varlink.Call) error {
	if call.IsOneway() {
		return nil
	}
	if !call.WantsMore() {
		return replyError(ctx, call, expectedMore, errorParameters{Reason: "Monitor answers more than once: set the flag 'more'"})
	}
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer call.Conn.(*client).onHangUp(func() { cancel(errHungUp) })()
	pause := time.NewTicker(monitorPause)
	defer pause.Stop()
	call.Continues = true
	for {
		status, changed, err := m.supervisor.Status(watched)
		if err == nil {
			err = call.Reply(ctx, statusReply{status.forWire()})
			if err != nil {
				return err
			}
			// A change that comes in the pause is told after it, with all that follow.
			err = wait(watched, changed)
		}
		if err == nil {
			err = wait(watched, pause.C)
		}
		switch {
		case errors.Is(context.Cause(watched), errHungUp):
			return errHungUp
		case err != nil:
			call.Continues = false
			return answer(ctx, call, nil, err)
		}
	}
}

// wait waits for c, or until ctx ends.
func wait[T any](ctx context.Context, c <-chan T) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("monitor: %w", ctx.Err())
	}
}
