// Package tools is what handoffd does to unit files and at the service manager's
// D-Bus interface, without a running handoffd: check, unit, man and the stop of
// socket units. Package main reads the flags. See handoff/README.md for the rooms
// around it.
package tools

import (
	"errors"
	"fmt"
)

// ErrUsage is found by errors.Is in an error that says what was asked for wrongly.
var ErrUsage = errors.New("used wrongly")

type usageError struct{ err error }

func (e *usageError) Error() string        { return e.err.Error() }
func (e *usageError) Unwrap() error        { return e.err }
func (e *usageError) Is(target error) bool { return target == ErrUsage }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}
