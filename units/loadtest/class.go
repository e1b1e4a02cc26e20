package loadtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Class is how a request ended. Its text is also its name in JSON.
type Class string

// Every request ends in exactly one of these.
const (
	// OK: a whole answer with a status of 2xx that Check found right.
	OK Class = "ok"
	// Refused: nobody listens at the address (ECONNREFUSED), or at the path of a
	// Unix socket (also ENOENT, and EAGAIN where its queue is full, see connect(2)).
	Refused Class = "refused"
	// Reset: the connection was reset before the answer was whole (ECONNRESET,
	// EPIPE, ECONNABORTED).
	Reset Class = "reset"
	// Cut: the server closed the connection before the answer was whole: no byte
	// of it came, or a part of its header, or of its body as Content-Length or
	// the chunks announced it.
	Cut Class = "cut"
	// Wrong: an answer that is no HTTP, or that Check found wrong, or that is
	// followed by bytes that nobody asked for.
	Wrong Class = "wrong"
	// Status: a whole answer whose status is not 2xx. Redirections are not followed.
	Status Class = "status"
	// TimedOut: no connection, or no whole answer, within Options.Timeout.
	TimedOut Class = "timed_out"
	// Other: anything else, such as a host that cannot be reached or a TLS alert.
	Other Class = "other"
	// Canceled: the run's context ended first. It says nothing about the server,
	// and is not a failure.
	Canceled Class = "canceled"
)

// classes in the order in which they are shown.
var classes = []Class{OK, Refused, Reset, Cut, Wrong, Status, TimedOut, Other, Canceled}

// classError is an error whose class is known where it arises.
type classError struct {
	class Class
	err   error
}

func (e classError) Error() string { return e.err.Error() }
func (e classError) Unwrap() error { return e.err }

// classify says how a request ended that err came of. Errors of the
// connection are told by what the system said, never by their text.
func classify(err error) Class {
	var known classError
	var netErr net.Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &known):
		return known.class
	case isAny(err, syscall.ECONNREFUSED):
		return Refused
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED):
		return Reset
	case isAny(err, os.ErrDeadlineExceeded, context.DeadlineExceeded, syscall.ETIMEDOUT):
		return TimedOut
	case errors.As(err, &netErr) && netErr.Timeout() && !isAny(err, syscall.EAGAIN):
		return TimedOut
	case isAny(err, io.EOF, io.ErrUnexpectedEOF):
		return Cut
	}
	return Other
}

// dialError gives the error of a dial the class that classify cannot know. A
// Unix socket refuses in three ways: nobody listens, the path is gone, or the
// queue is full, which a non-blocking connect does not wait for.
func dialError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Net == "unix" && isAny(err, syscall.ENOENT, syscall.EAGAIN) {
		return classError{Refused, err}
	}
	return err
}

// isAny reports whether err is one of targets.
func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
