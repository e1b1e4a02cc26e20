//go:build !linux

package systemdtest

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
)

func boot(context.Context, testing.TB, string, []string) (*Machine, error) { return nil, noLinux() }

func buildFolder() (string, error) { return "", noLinux() }

func noLinux() error { return cannot("systemd runs on Linux, and this is %s", runtime.GOOS) }

// What follows is reached through a Machine only, and there is none here.

type reaper struct{}

func (*reaper) reap() error { return errors.ErrUnsupported }

type console struct{}

func (*console) text() string { return "" }
func (*console) rest() string { return "" }
func (*console) close()       {}

type network struct{}

func (*network) dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

func (*network) listen(context.Context, string, string) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}

func (*network) close() {}

func dialPath(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

func killGroup(string) error { return errors.ErrUnsupported }
