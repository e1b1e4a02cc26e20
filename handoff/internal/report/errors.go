package report

import (
	"errors"
	"fmt"

	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// The conditions that a caller handles. Package handoff exports each under the same
// name, and says there what it means.
var (
	ErrNotRunning   = errors.New("the service does not run yet")
	ErrDraining     = errors.New("the generation is draining")
	ErrNoSuccessor  = errors.New("nobody can go on with the connection")
	ErrCarry        = errors.New("carry the connection on")
	ErrStateVersion = errors.New("the program cannot read that version of the state")
	ErrCut          = errors.New("work was cut off at the end of the drain")
	ErrUnknown      = errors.New("inherited, and nothing here knows it")
	ErrNotKept      = errors.New("the manager does not keep it, see FileDescriptorStoreMax= in systemd.service(5)")
	ErrRefused      = errors.New("the state of the connection is refused")
	ErrLost         = errors.New("lost in the hand-over")
)

// ErrDrainAlone ends the contexts of connections that cannot be carried.
var ErrDrainAlone = fmt.Errorf("%w: %w", ErrDraining, ErrNoSuccessor)

// Limited reports whether err is the lack of something that may be there later.
func Limited(err error) bool {
	_, ok := errors.AsType[*parcel.LimitError](err)
	return ok
}
