//go:build !linux

package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// A Receiver is the socket on which a manager hears its services. There is none
// on this system.
type Receiver struct{}

// Listen fails with errors.ErrUnsupported: the protocol lives on Linux.
func Listen(path string) (*Receiver, error) {
	return nil, fmt.Errorf("notify: listen %q: %w", path, errors.ErrUnsupported)
}

// FileReceiver fails with errors.ErrUnsupported.
func FileReceiver(f *os.File) (*Receiver, error) {
	return nil, fmt.Errorf("notify: receiver from %q: %w", f.Name(), errors.ErrUnsupported)
}

// Addr returns the value for a service's NOTIFY_SOCKET.
func (r *Receiver) Addr() string { return "" }

// File returns a duplicate of the socket.
func (r *Receiver) File() (*os.File, error) { return nil, errors.ErrUnsupported }

// Receive waits for the next message.
func (r *Receiver) Receive(context.Context) (*Notification, error) {
	return nil, errors.ErrUnsupported
}

// Close closes the socket.
func (r *Receiver) Close() error { return nil }
