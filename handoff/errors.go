package handoff

import (
	"errors"

	"github.com/holdfast-go/holdfast/handoff/internal/report"
)

// Conditions that a caller handles.
var (
	// ErrRunning: Run or Close was called before. What a service consists of is said
	// before Run, and it runs once: Open makes another.
	ErrRunning = errors.New("the service is already running or has run")

	// ErrServed: the listener was given to Serve, ServeTLS or Carrier.Serve before. Two
	// servers would each get some of its connections.
	ErrServed = errors.New("the listener is served already")

	// ErrDuplicate: a listener, packet socket, state or carrier of that name was
	// there before.
	ErrDuplicate = errors.New("the name is taken")

	// ErrNotRunning: Run has not begun to serve.
	ErrNotRunning = report.ErrNotRunning

	// ErrDraining: this generation is on its way out. It is the cause of a
	// ConnFunc's context when that ends, and what the ReadFrom of a packet socket
	// returns then.
	ErrDraining = report.ErrDraining

	// ErrNoSuccessor is in the cause of a ConnFunc's context, beside ErrDraining,
	// where the connection cannot be carried on: there is no store to leave it in,
	// or it is no socket. What the function returns is lost, and the connection is
	// closed: it may say goodbye.
	ErrNoSuccessor = report.ErrNoSuccessor

	// ErrCarry is what a ConnFunc returns to have its connection carried on.
	ErrCarry = report.ErrCarry

	// ErrStateVersion: a saved state is of a version that the program cannot
	// read.
	ErrStateVersion = report.ErrStateVersion

	// ErrCut: work that was still under way when the drain ran out of time was
	// cut.
	ErrCut = report.ErrCut

	// ErrUnknown, in what Options.Report is told: something that was inherited has
	// no use in this program, and was removed from the store and closed.
	ErrUnknown = report.ErrUnknown

	// ErrNotKept: the fd store had no room, or the service has none. Where its size
	// is known there is a *parcel.LimitError, too.
	ErrNotKept = report.ErrNotKept

	// ErrRefused is what a ConnFunc returns for a connection whose state it cannot
	// make sense of. The connection is closed, and counted as refused.
	ErrRefused = report.ErrRefused

	// ErrLost, in what Options.Report is told: a connection, state or parcel could
	// not be kept.
	ErrLost = report.ErrLost
)
