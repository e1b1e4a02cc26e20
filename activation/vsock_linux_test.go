package activation

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// vsockSocket makes a vsock listener on cid, or returns why there is none.
func vsockSocket(cid uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrVM{CID: cid, Port: unix.VMADDR_PORT_ANY}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Listen(fd, 16); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func TestVsockListener(t *testing.T) {
	leaktest.Check(t)
	fd, err := vsockSocket(unix.VMADDR_CID_ANY)
	if err != nil {
		t.Skipf("this kernel has no vsock: %v", err)
	}
	s := inherit(t, []string{"vm"}, fd)
	k := s.Unclaimed()[0].Kind
	if k.Network != "vsock" || !k.Listening || k.Shut {
		t.Errorf("a vsock listener is a %v", k)
	}
	l, err := s.Listener("vm")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*VsockAddr)
	if !ok || addr.CID != unix.VMADDR_CID_ANY || addr.Port == unix.VMADDR_PORT_ANY {
		t.Errorf("address %v", l.Addr())
	}
	l.(*vsockListener).SetDeadline(time.Now().Add(-time.Second))
	var timeout net.Error
	if _, err := l.Accept(); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Accept after the deadline: %v", err)
	}
	l.(*vsockListener).SetDeadline(time.Time{})
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
}

func TestVsockOverLoopback(t *testing.T) {
	leaktest.Check(t)
	fd, err := vsockSocket(unix.VMADDR_CID_LOCAL)
	if err != nil {
		t.Skipf("this kernel has no vsock loopback (CONFIG_VSOCKETS_LOOPBACK): %v", err)
	}
	s := inherit(t, []string{"vm"}, fd)
	l, err := s.Listener("vm")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd = socket(t, unix.AF_VSOCK, unix.SOCK_STREAM, 0, nil, false)
	if err := unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_LOCAL, Port: l.Addr().(*VsockAddr).Port}); err != nil {
		t.Fatal(err)
	}
	client, err := inherit(t, []string{"client"}, fd).Conn("client")
	if err != nil {
		t.Fatal(err)
	}
	if got := client.RemoteAddr().String(); got != l.Addr().String() {
		t.Errorf("peer %v, want the listener %v", got, l.Addr())
	}
	exchange(t, l, client)
}

// Where vsock has no loopback, the same code is run over a Unix socket: it works
// on descriptors, and only the addresses differ.
func TestVsockConnOverUnix(t *testing.T) {
	leaktest.Check(t)
	fd, path := unixSocket(t, unix.SOCK_STREAM, true)
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	l, err := newVsockListener(f, &VsockAddr{CID: 1, Port: 2})
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := socket(t, unix.AF_UNIX, unix.SOCK_STREAM, 0, nil, false)
	if err := unix.Connect(c, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(c, true); err != nil {
		t.Fatal(err)
	}
	cf := os.NewFile(uintptr(c), "client")
	client, err := newVsockConn(cf, &VsockAddr{CID: 1, Port: 3}, l.Addr())
	cf.Close()
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, l, client)
}

// exchange tries what servers do with connections.
func exchange(t *testing.T, l net.Listener, client net.Conn) {
	t.Helper()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	server.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := server.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("Read after the deadline: %v", err)
	}
	server.SetDeadline(time.Now().Add(time.Minute))
	client.SetDeadline(time.Now().Add(time.Minute))
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*vsockConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(server); err != nil || string(text) != "hello" {
		t.Errorf("the server got %q, %v", text, err)
	}
	if _, err := server.Write([]byte("bye")); err != nil {
		t.Error(err)
	}
	server.Close()
	if text, err := io.ReadAll(client); err != nil || string(text) != "bye" {
		t.Errorf("the client got %q, %v", text, err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if err := client.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestVsockAddr(t *testing.T) {
	for _, tt := range []struct {
		addr VsockAddr
		want string
	}{
		{VsockAddr{CID: 2, Port: 80}, "2:80"},
		{VsockAddr{CID: unix.VMADDR_CID_ANY, Port: 80}, "any:80"},
	} {
		if got := tt.addr.String(); got != tt.want || tt.addr.Network() != "vsock" {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
