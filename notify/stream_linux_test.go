package notify

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// A vsock of connections differs from a Unix one in its address alone, and many
// kernels have no loopback for vsock. So what follows the address is tested over
// a Unix socket.
func TestConnectionForEachMessage(t *testing.T) {
	for network, kind := range map[string]int{"unix": unix.SOCK_STREAM, "unixpacket": unix.SOCK_SEQPACKET} {
		t.Run(network, func(t *testing.T) {
			leaktest.Check(t)
			path := filepath.Join(t.TempDir(), "s")
			ln, err := net.Listen(network, path)
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			n := newNotifier(vsockConn{addr: address{text: path}, kind: kind}, 0)
			defer n.Close()
			for range 3 {
				if err := n.Send(t.Context(), Ready(), Status("up")); err != nil {
					t.Fatal(err)
				}
				c, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(c)
				if err != nil || string(b) != "READY=1\nSTATUS=up" {
					t.Errorf("got %q, %v", b, err)
				}
				c.Close()
			}
			if err := n.Barrier(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Barrier: %v, want errors.ErrUnsupported", err)
			}
			ln.Close()
			if err := n.Ready(t.Context()); !errors.Is(err, ErrGone) {
				t.Errorf("without a manager: %v, want ErrGone", err)
			}
		})
	}
}

// A non-blocking connect over TCP stays in progress for a while, as one to
// another machine's vsock does.
func TestAwaitConnect(t *testing.T) {
	leaktest.Check(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	connect := func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
		f := os.NewFile(uintptr(fd), "tcp")
		defer f.Close()
		if err != unix.EINPROGRESS {
			t.Fatalf("connect: %v, want EINPROGRESS", err)
		}
		if err := f.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		return awaitConnect(f)
	}
	for range 100 {
		if err := connect(); err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	ln.Close()
	if err := connect(); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("to a closed port: %v, want ECONNREFUSED", err)
	}
}
