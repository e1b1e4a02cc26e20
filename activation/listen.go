package activation

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Listen returns the inherited listener called name, as [Set.Listener] does; or,
// if the process was not activated at all, a fresh one on the network and address,
// which are those of [net.Listen]. So one program runs as a socket-activated
// service and from a shell. A process that was activated without that name gets
// an error that wraps ErrNoName and lists the names there are: to bind a socket
// beside the manager's would hide a mistake in the unit file.
//
// A fresh Unix listener takes the place of a socket file that a dead process left
// behind, that is, one at which nobody answers; if somebody does, the error is
// that of the bind. It unlinks its path when it is closed. An inherited one
// does not.
//
// The context bounds what it takes to open a fresh listener, not the listener's
// life.
func (s *Set) Listen(ctx context.Context, name, network, address string) (net.Listener, error) {
	if s.Activated() {
		return s.Listener(name)
	}
	if err := ctx.Err(); err != nil { // package net looks at it only to look up names
		return nil, fmt.Errorf("activation: listener %q: %w", name, err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, address)
	if err != nil && isStale(ctx, network, address, err) {
		if err = os.Remove(address); err == nil {
			l, err = lc.Listen(ctx, network, address)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("activation: listener %q: %w", name, err)
	}
	return l, nil
}
