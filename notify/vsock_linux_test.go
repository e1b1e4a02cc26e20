package notify_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// vsockManager listens on the loopback of vsock, and says why if it cannot.
func vsockManager(t *testing.T, kind int) (ln *os.File, port uint32) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_VSOCK, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("the kernel has no vsock of this type: %v", err)
	}
	ln = os.NewFile(uintptr(fd), "vsock")
	t.Cleanup(func() { ln.Close() })
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_LOCAL, Port: unix.VMADDR_PORT_ANY}); err != nil {
		t.Skipf("no loopback for vsock: %v", err)
	}
	if err := unix.Listen(fd, 8); err != nil {
		t.Skipf("no loopback for vsock: %v", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return ln, sa.(*unix.SockaddrVM).Port
}

// accept returns all that the next connection carries.
func accept(t *testing.T, ln *os.File) string {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(ln.Fd()), Events: unix.POLLIN}}
	if k, err := unix.Poll(fds, int(poll.Patience/time.Millisecond)); k != 1 {
		t.Fatalf("no connection: %v", err)
	}
	fd, _, err := unix.Accept4(int(ln.Fd()), unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "vsock")
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVsock(t *testing.T) {
	for scheme, kind := range map[string]int{
		"vsock-stream": unix.SOCK_STREAM, "vsock-seqpacket": unix.SOCK_SEQPACKET, "vsock": unix.SOCK_SEQPACKET,
	} {
		t.Run(scheme, func(t *testing.T) {
			leaktest.Check(t)
			ln, port := vsockManager(t, kind)
			n := open(t, fmt.Sprintf("%s:%d:%d", scheme, unix.VMADDR_CID_LOCAL, port))
			if err := n.Status("waits"); err != nil {
				t.Fatal(err)
			}
			if got := accept(t, ln); got != "STATUS=waits" {
				t.Errorf("a status came as %q", got)
			}
			for range 2 {
				if err := n.Send(limited(t), notify.Ready(), notify.Status("up")); err != nil {
					t.Fatal(err)
				}
				if got := accept(t, ln); got != "READY=1\nSTATUS=up" {
					t.Errorf("got %q", got)
				}
			}
			if err := n.Barrier(limited(t)); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Barrier: %v, want errors.ErrUnsupported", err)
			}
			ln.Close()
			if err := n.Ready(limited(t)); !errors.Is(err, notify.ErrGone) {
				t.Errorf("without a manager: %v, want ErrGone", err)
			}
		})
	}
}
