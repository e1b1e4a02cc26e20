//go:build !linux

package rotation

import (
	"context"
	"errors"
	"syscall"
)

// Applies reports false: what it takes is Linux's own.
func Applies(syscall.Conn) bool { return false }

// Hold, Shut and Settled return errors.ErrUnsupported.
func Hold(syscall.Conn) error { return errors.ErrUnsupported }

// Shut is as Hold.
func Shut(syscall.Conn) error { return errors.ErrUnsupported }

// Settled is as Hold.
func Settled(context.Context, ...syscall.Conn) error { return errors.ErrUnsupported }

// Held reports false.
func Held(syscall.Conn) bool { return false }

// Open does nothing.
func Open(syscall.Conn) error { return nil }
