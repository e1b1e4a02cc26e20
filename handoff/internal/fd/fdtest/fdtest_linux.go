// Package fdtest makes descriptors of several kinds for tests, which close them at their
// end.
package fdtest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Memfd returns an empty file of memory.
func Memfd(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return closed(t, os.NewFile(uintptr(fd), "memfd"))
}

// Listening returns a listener, on a free TCP port or on a Unix socket, and a duplicate of
// its descriptor.
func Listening(t testing.TB, network string) (net.Listener, *os.File) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "a socket")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	return ln, closed(t, f)
}

// Hungup returns one end of a pair of sockets whose other end is closed.
func Hungup(t testing.TB) *os.File {
	t.Helper()
	ours, theirs := Pair(t)
	theirs.Close()
	return ours
}

// Pair returns both ends of a pair of sockets, as a parcel has it.
func Pair(t testing.TB) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return closed(t, os.NewFile(uintptr(fds[0]), "socket")), closed(t, os.NewFile(uintptr(fds[1]), "peer"))
}

// Listener returns a TCP socket that listens.
func Listener(t testing.TB) *os.File {
	t.Helper()
	ln, f := Listening(t, "tcp")
	ln.Close()
	return f
}

// closed has f closed at the end of the test.
func closed(t testing.TB, f *os.File) *os.File {
	t.Cleanup(func() { f.Close() })
	return f
}
