package sockets

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
)

// TestPlainTCP: no listener is a multipath one, which package net makes by itself where
// the kernel can.
func TestPlainTCP(t *testing.T) {
	protocol := func(ln net.Listener) (p int) {
		t.Helper()
		defer ln.Close()
		err := fd.With(ln.(*net.TCPListener), func(fd int) (err error) {
			p, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ln, err := Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if p := protocol(ln); p != unix.IPPROTO_TCP {
		t.Errorf("protocol %d, want TCP", p)
	}
	if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if p := protocol(ln); p != unix.IPPROTO_MPTCP {
		t.Logf("this says little: package net's own listener has protocol %d, as where the kernel has no multipath TCP (net.mptcp.enabled)", p)
	}
}
