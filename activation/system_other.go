//go:build !linux

package activation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
)

// Socket activation, and the descriptors that it passes, exist on Linux only.
// Elsewhere every Set is empty, so what would convert its descriptors is never
// reached.

func (o Options) inherit() (*Set, error) {
	for _, key := range []string{envPID, envPIDFDID, envFDs, envNames} {
		o.unset(key)
	}
	return new(Set), nil
}

func inspect(int) (Kind, error)                         { return Kind{}, errors.ErrUnsupported }
func identifyPath(string) (fileID, error)               { return fileID{}, errors.ErrUnsupported }
func socketLabel(Kind) string                           { return string(TypeSocket) }
func (k Kind) isInet() bool                             { return false }
func (k Kind) isUnix() bool                             { return false }
func (k Kind) isStream() bool                           { return false }
func (k Kind) isDatagram() bool                         { return false }
func (c candidate) listener() (net.Listener, error)     { return nil, errors.ErrUnsupported }
func (c candidate) packetConn() (net.PacketConn, error) { return nil, errors.ErrUnsupported }
func (c candidate) conn() (net.Conn, error)             { return nil, errors.ErrUnsupported }
func (c candidate) listen() error                       { return errors.ErrUnsupported }

func isStale(context.Context, string, string, error) bool { return false }

func start(context.Context, *exec.Cmd, []NamedFile) error {
	return fmt.Errorf("activation: start: %w", errors.ErrUnsupported)
}

func execStep([]func() error) error { return nil }
