package activation

import (
	"errors"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// dialed tells whether somebody accepts on fd's address.
func dialed(t *testing.T, network, addr string) bool {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		if !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("dial %s: %v", addr, err)
		}
		return false
	}
	c.Close()
	return true
}

func TestShutListenerListensAgain(t *testing.T) {
	// To bind a port by number tells the kernel to keep it, as with ListenStream=80.
	t.Run("port of its own", func(t *testing.T) {
		free := tcpListener(t)
		sa, err := unix.Getsockname(free)
		unix.Close(free)
		if err != nil {
			t.Fatal(err)
		}
		testListensAgain(t, socket(t, unix.AF_INET, unix.SOCK_STREAM, 0, sa, true))
	})
	t.Run("port of the kernel's choice", func(t *testing.T) {
		testListensAgain(t, tcpListener(t))
	})
}

func testListensAgain(t *testing.T, fd int) {
	leaktest.Check(t)
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := address("tcp", sa).String()
	// A predecessor shut it on a duplicate of its own.
	if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil {
		t.Fatal(err)
	}
	if dialed(t, "tcp", addr) {
		t.Fatal("the test's listener was not shut")
	}
	s := inherit(t, []string{"web", "web"}, fd, tcpListener(t))
	if k := s.Unclaimed()[0].Kind; !k.Shut || k.Listening || !strings.HasPrefix(k.String(), "shut stream socket (tcp)") {
		t.Errorf("a shut socket is a %v", k)
	}
	_, err = s.Listeners("web")
	if !errors.Is(err, ErrNotListening) || !strings.Contains(err.Error(), "(fd 500)") || !strings.Contains(err.Error(), "Set.Relisten") {
		t.Errorf("got %v, want ErrNotListening, and how to mend it", err)
	}
	if len(s.Unclaimed()) != 2 {
		t.Error("a failed attempt took something")
	}
	for range 2 { // the second time there is nothing to do
		if err := s.Relisten("web"); err != nil {
			t.Fatal(err)
		}
	}
	listeners, err := s.Listeners("web")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		echo(t, l)
		l.Close()
	}
	if got := listeners[0].Addr().String(); got != addr {
		t.Errorf("listens on %s, want %s", got, addr)
	}
}

func TestSocketThatNeverListened(t *testing.T) {
	leaktest.Check(t)
	fd, path := unixSocket(t, unix.SOCK_SEQPACKET, false)
	s := inherit(t, []string{"s"}, fd)
	if _, err := s.Listener("s"); !errors.Is(err, ErrNotListening) {
		t.Errorf("got %v, want ErrNotListening", err)
	}
	if err := s.Relisten("s"); err != nil {
		t.Fatal(err)
	}
	l, err := s.Listener("s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !dialed(t, "unixpacket", path) {
		t.Error("nobody listens")
	}
}

func TestShutUnixListenerStaysShut(t *testing.T) {
	leaktest.Check(t)
	fd, path := unixSocket(t, unix.SOCK_STREAM, true)
	if err := unix.Shutdown(fd, unix.SHUT_RD); err != nil {
		t.Fatal(err)
	}
	s := inherit(t, []string{"s"}, fd)
	if k := s.Unclaimed()[0].Kind; !k.Shut || !k.Listening {
		t.Errorf("got %+v, want one that is shut although SO_ACCEPTCONN is 1", k)
	}
	if _, err := s.Listener("s"); !errors.Is(err, ErrNotListening) {
		t.Errorf("Listener: %v, want ErrNotListening", err)
	}
	if err := s.Relisten("s"); !errors.Is(err, ErrNotListening) || !strings.Contains(err.Error(), "restart its socket unit") {
		t.Errorf("Relisten: %v, want ErrNotListening", err)
	}
	// What the refusal rests on: the kernel does not take the shutdown back.
	if err := unix.Listen(firstTestFD, 1); err != nil {
		t.Fatal(err)
	}
	if dialed(t, "unix", path) {
		t.Error("this kernel lets a shut Unix listener listen again: Relisten can do so")
	}
}
