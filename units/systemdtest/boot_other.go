//go:build !linux

package systemdtest

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
)

func boot(testing.TB, string) (*Machine, error) {
	return nil, cannot("systemd runs on Linux, and this is %s", runtime.GOOS)
}

// What follows is reached through a Machine only, and there is none here.

type reaper struct{}

func (*reaper) reap() error { return errors.ErrUnsupported }

type network struct{}

func (*network) dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

func (*network) close() {}

func killGroup(string) error { return errors.ErrUnsupported }
