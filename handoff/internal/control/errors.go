package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Conditions that a caller may want to tell apart, for errors.Is. A client finds
// in its error what the supervisor had in its own.
var (
	// ErrNoServer: nobody listens at the path.
	ErrNoServer = errors.New("no handoffd listens there")
	// ErrGone: the server ended the connection before it answered. What was asked
	// for may have been begun.
	ErrGone = errors.New("handoffd went away before it answered")
	// ErrInUse: a server listens at the path already.
	ErrInUse = errors.New("in use")
	// ErrPermission: the client is neither root nor the service's own user.
	ErrPermission = errors.New("permission denied")
	// ErrTooManyClients: as many as there may be wait for their answers.
	ErrTooManyClients = errors.New("too many clients")
	// ErrInvalid: a message, a parameter or a path that makes no sense.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge: a message is longer than MaxRequest or MaxReply.
	ErrTooLarge = errors.New("message too large")

	// ErrUndone: the successor failed, or was aborted, and the service is as
	// before. errors.As finds an *UndoneError.
	ErrUndone = errors.New("undone")
	// ErrRefused: nothing was started.
	ErrRefused = errors.New("refused")
	// ErrNotHeld: no successor waits for Commit or Abort.
	ErrNotHeld = errors.New("no successor waits for commit or abort")
	// ErrStopping: the service is about to end.
	ErrStopping = errors.New("the service is stopping")
)

// An UndoneError says why a successor was undone. errors.Is finds ErrUndone.
type UndoneError struct {
	Generation uint64   // the successor's number; 0: none was started
	Reason     string   // in a line
	Output     []string // the last lines of its standard error
}

func (e *UndoneError) Error() string {
	if e.Generation == 0 {
		return fmt.Sprintf("undone: %s", e.Reason)
	}
	return fmt.Sprintf("generation %d was undone: %s", e.Generation, e.Reason)
}

// Is makes errors.Is find ErrUndone.
func (e *UndoneError) Is(target error) bool { return target == ErrUndone }

// A requestError says why a request failed, in the words of who refused it.
type requestError struct {
	kind   error // the sentinel
	reason string
}

func (e *requestError) Error() string { return e.reason }
func (e *requestError) Unwrap() error { return e.kind }

// kinds are the errors of the interface with no parameter but a reason.
var kinds = []struct {
	name string
	err  error
}{
	{Interface + ".Refused", ErrRefused},
	{Interface + ".NotHeld", ErrNotHeld},
	{Interface + ".Stopping", ErrStopping},
	{Interface + ".TooManyClients", ErrTooManyClients},
	{Interface + ".InvalidMessage", ErrInvalid},
	{Interface + ".MessageTooLarge", ErrTooLarge},
	// Of systemd's edition of the interface that every service has, so that every
	// client knows it. The edition of varlink.org, and of the library, lacks them.
	{permissionDenied, ErrPermission},
	{expectedMore, ErrInvalid},
}

const (
	errUndone        = Interface + ".Undone"
	errFailed        = Interface + ".Failed"
	permissionDenied = "org.varlink.service.PermissionDenied"
	expectedMore     = "org.varlink.service.ExpectedMore"
)

// errorParameters are the parameters of all errors.
type errorParameters struct {
	Generation uint64   `json:"generation,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Output     []string `json:"output,omitempty"`

	// Of org.varlink.service.
	Parameter string `json:"parameter,omitempty"`
	Method    string `json:"method,omitempty"`
	Interface string `json:"interface,omitempty"`
}

// toWire says an error in the words of the interface.
func toWire(err error) (name string, p errorParameters) {
	if undone, ok := errors.AsType[*UndoneError](err); ok {
		return errUndone, errorParameters{Generation: undone.Generation, Reason: undone.Reason, Output: lastLines(undone.Output)}
	}
	p.Reason = err.Error()
	if errors.Is(err, ErrUndone) {
		return errUndone, p
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.name, p
		}
	}
	return errFailed, p
}

// fromWire is the other way.
func fromWire(name string, parameters json.RawMessage) error {
	var p errorParameters
	if len(parameters) > 0 {
		if err := json.Unmarshal(parameters, &p); err != nil {
			return fmt.Errorf("error %s with parameters that cannot be read: %w: %w", name, ErrInvalid, err)
		}
	}
	if name == errUndone {
		return &UndoneError{Generation: p.Generation, Reason: p.Reason, Output: p.Output}
	}
	for _, k := range kinds {
		if k.name == name {
			return &requestError{kind: k.err, reason: reasonOr(p.Reason, k.err)}
		}
	}
	standard, of := strings.CutPrefix(name, "org.varlink.service.")
	switch {
	case of && standard == "InvalidParameter":
		return fmt.Errorf("%w parameter %q", ErrInvalid, p.Parameter)
	case of && slices.Contains([]string{"InterfaceNotFound", "MethodNotFound", "MethodNotImplemented"}, standard):
		return fmt.Errorf("%s%s: %w by this handoffd", p.Interface, p.Method, errors.ErrUnsupported)
	}
	return errors.New(reasonOr(p.Reason, errors.New(name)))
}

func reasonOr(reason string, err error) string {
	if reason == "" {
		return err.Error()
	}
	return reason
}

// atEnd says what a supervisor's error means if it is only that Serve ends.
func atEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		return fmt.Errorf("%w: the wait ends, and not what was begun", ErrStopping)
	}
	return err
}
