package resource

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/internal/report"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// Strays are entries that nothing here goes on with, such as connections whose Carrier or
// listener the program does not have. They wait for a later generation for so long.
type Strays time.Duration

var _ Adopter = Strays(0)

// Judge keeps what is not too old.
func (s Strays) Judge(e protocol.Entry) protocol.Fate {
	if time.Since(e.Saved) < time.Duration(s) {
		return protocol.Keep
	}
	return protocol.Drop
}

// Adopt is never called, since Judge takes nothing.
func (s Strays) Adopt(_ context.Context, e protocol.Entry, it *parcel.Item) error {
	it.Close()
	return fmt.Errorf("%s %q: %w", e.Kind, e.Name, report.ErrUnknown)
}

// StrayStates are states that the program does not have. They wait for a later generation
// for KeepFor.
type StrayStates struct {
	Env     *Env
	KeepFor time.Duration
}

var _ Early = StrayStates{}

// Preview: there is nothing to be noted.
func (s StrayStates) Preview(protocol.Entry) {}

// Judge keeps what is not too old.
func (s StrayStates) Judge(e protocol.Entry) protocol.Fate {
	return unreadable(s.Env, e, fmt.Errorf("state %q: %w", e.Name, report.ErrUnknown), s.KeepFor, true)
}

// Adopt is never called, since Judge takes nothing.
func (s StrayStates) Adopt(_ context.Context, e protocol.Entry, _ *parcel.Item) error {
	return fmt.Errorf("state %q: %w", e.Name, report.ErrUnknown)
}
