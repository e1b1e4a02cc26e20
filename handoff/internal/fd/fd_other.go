//go:build !linux

package fd

import (
	"errors"
	"os"
	"syscall"
)

// Duplicate returns errors.ErrUnsupported.
func Duplicate(syscall.Conn, string) (*os.File, error) { return nil, errors.ErrUnsupported }

// Same reports false.
func Same(syscall.Conn, syscall.Conn) bool { return false }
