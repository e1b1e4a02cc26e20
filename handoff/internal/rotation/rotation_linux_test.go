package rotation

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

func TestMain(m *testing.M) {
	helpertest.Main(m, map[string]func([]string) error{"link": linkHelper})
}

// listen returns a listener that is closed with the test.
func listen(t *testing.T, network, address string, multipath bool) *net.TCPListener {
	t.Helper()
	var c net.ListenConfig
	c.SetMultipathTCP(multipath)
	ln, err := c.Listen(t.Context(), network, address)
	if err != nil {
		t.Skipf("no listener on %s: %v", address, err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*net.TCPListener)
}

// dial returns how a client fares within d.
func dial(t *testing.T, ln net.Listener, d time.Duration) error {
	t.Helper()
	c, err := net.DialTimeout("tcp", ln.Addr().String(), d)
	if err == nil {
		c.Close()
	}
	return err
}

func TestOutAndBack(t *testing.T) {
	for _, c := range []struct {
		name, network, address string
	}{
		{"tcp4", "tcp4", "127.0.0.1:18431"},
		{"tcp6", "tcp6", "[::1]:18432"},
		{"port of the kernel's", "tcp4", "127.0.0.1:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			ln := listen(t, c.network, c.address, false)
			if !Applies(ln) {
				t.Fatal("it does not apply to a TCP listener")
			}
			for range 3 {
				if err := dial(t, ln, time.Minute); err != nil {
					t.Fatalf("in the rotation: %v", err)
				}
				// A busy kernel may be late with the client's last packet.
				n := 0
				poll.Until(t, "the client waits", func() bool {
					var err error
					if n, err = waiting([]syscall.Conn{ln}); err != nil {
						t.Fatal(err)
					}
					return n > 0
				})
				if n != 1 {
					t.Fatalf("%d wait, want 1", n)
				}
				if err := Hold(ln); err != nil {
					t.Fatal(err)
				}
				var late net.Error
				if err := dial(t, ln, 200*time.Millisecond); !errors.As(err, &late) || !late.Timeout() {
					t.Fatalf("held: %v, want a timeout", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*checkEvery)
				if err := settled(ctx, 0, ln); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connections") {
					t.Fatalf("with one in the queue: %v", err)
				}
				cancel()
				queued, err := ln.Accept()
				if err != nil {
					t.Fatal(err)
				}
				queued.Close()
				over, end := context.WithCancel(t.Context())
				end()
				if err := settled(over, 0, ln); !errors.Is(err, context.Canceled) {
					t.Errorf("once the caller has given up: %v", err)
				}
				if err := settled(t.Context(), 0, ln); err != nil {
					t.Fatal(err)
				}
				if err := Shut(ln); err != nil {
					t.Fatal(err)
				}
				if err := dial(t, ln, time.Minute); !errors.Is(err, unix.ECONNREFUSED) {
					t.Fatalf("shut: %v, want refused", err)
				}
				for range 2 { // the second changes nothing
					if err := Open(ln); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	leaktest.Check(t)
	ln, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if Applies(ln.(*net.UnixListener)) {
		t.Error("it applies to a Unix listener")
	}
	own := listen(t, "tcp4", "127.0.0.1:0", false)
	filter := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	attach := func() {
		t.Helper()
		err := fd.With(own, func(fd int) error {
			return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &filter[0]})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	attach()
	if err := Open(own); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, own, 200*time.Millisecond); err == nil {
		t.Error("a filter that is not ours was taken off")
	}
	own.Close()
	for name, f := range map[string]func(syscall.Conn) error{"hold": Hold, "shut": Shut, "open": Open} {
		if err := f(own); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s of a closed listener: %v", name, err)
		}
	}
}

// Linux 6.18 has no filters for multipath TCP, which net.Listen uses by default.
func TestMultipath(t *testing.T) {
	leaktest.Check(t)
	ln := listen(t, "tcp4", "127.0.0.1:0", true)
	if err := Hold(ln); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("hold: %v", err)
	}
	if err := Open(ln); err != nil {
		t.Errorf("open: %v", err)
	}
	if err := dial(t, ln, time.Minute); err != nil {
		t.Errorf("a client: %v", err)
	}
}
