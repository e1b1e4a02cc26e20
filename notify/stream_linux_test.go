package notify

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

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
