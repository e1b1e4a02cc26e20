//go:build !linux

package notify

import (
	"errors"
	"fmt"
)

// dial fails: the protocol lives on Linux.
func dial(a address) (transport, error) {
	return nil, fmt.Errorf("%q: %w", a.text, errors.ErrUnsupported)
}

// monotonic is never called: without a connection nothing is sent.
func monotonic() (int64, error) { return 0, errors.ErrUnsupported }
