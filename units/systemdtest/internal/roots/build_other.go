//go:build !linux

package roots

import (
	"context"
	"errors"
	"io"
)

// DefaultMirror serves every suite of Recipes.
const DefaultMirror = "http://deb.debian.org/debian"

// Options says how to build.
type Options struct {
	Mirror string
	Force  bool
	Log    io.Writer
}

// Build works on Linux only.
func (Recipe) Build(context.Context, string, Options) (bool, error) {
	return false, errors.New("a root folder can be built on Linux only")
}

// Version works on Linux only.
func Version(context.Context, string) (int, error) {
	return 0, errors.New("systemd runs on Linux only")
}
