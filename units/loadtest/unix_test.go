//go:build unix

package loadtest

import (
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestUnixSocketRefuses covers the ways in which a Unix socket turns a client
// away.
func TestUnixSocketRefuses(t *testing.T) {
	leaktest.Check(t)
	dir := t.TempDir()

	gone := filepath.Join(dir, "gone")
	dead := filepath.Join(dir, "dead")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
	refuses := map[string]string{
		gone: "no such file",
		dead: "connection refused",
	}
	if runtime.GOOS == "linux" { // elsewhere a full queue is refused by ECONNREFUSED
		full := filepath.Join(dir, "full")
		fillQueue(t, full)
		refuses[full] = "resource temporarily unavailable"
	}
	for path, text := range refuses {
		r, err := Run(t.Context(), Options{Network: "unix", Address: path, Requests: 2})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Counts{Refused: 2}); r.Total.Counts != want || !strings.Contains(r.Failures[0].Text, text) {
			t.Errorf("%s: counts %+v, want %+v; %v, want %q", path, r.Total.Counts, want, r.Failures, text)
		}
	}
}

// fillQueue makes a Unix socket that nobody accepts on and whose queue is full.
func fillQueue(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c, err := net.Dial("unix", path)
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("a queue of length 0 took 10 connections")
}
