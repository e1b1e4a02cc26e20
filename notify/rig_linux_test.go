package notify_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/poll"
)

// limited returns a context with that bound.
func limited(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	t.Cleanup(cancel)
	return ctx
}

// listen returns a receiver that is closed with the test.
func listen(t testing.TB, path string) *notify.Receiver {
	t.Helper()
	r, err := notify.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// socketPath returns a path that is short enough for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "socket")
}

// open returns a Notifier for the socket that is closed with the test.
func open(t testing.TB, socket string, environ ...string) *notify.Notifier {
	t.Helper()
	n, err := notify.Options{Environ: append(environ, "NOTIFY_SOCKET="+socket)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// monotonicUsec reads the clock that MONOTONIC_USEC= counts.
func monotonicUsec(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano()).Truncate(time.Microsecond)
}
