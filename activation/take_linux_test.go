package activation

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestWrongKindSaysWhatItIs(t *testing.T) {
	leaktest.Check(t)
	pipe, _ := fifo(t)
	conn, _ := tcpPair(t)
	s := inherit(t, []string{"tcp", "udp", "fifo", "conn"}, tcpListener(t), udpSocket(t), pipe, conn)
	take := map[string]func(string) error{
		"Listener":    func(name string) error { _, err := s.Listener(name); return err },
		"Listeners":   func(name string) error { _, err := s.Listeners(name); return err },
		"PacketConn":  func(name string) error { _, err := s.PacketConn(name); return err },
		"PacketConns": func(name string) error { _, err := s.PacketConns(name); return err },
		"Conn":        func(name string) error { _, err := s.Conn(name); return err },
		"Conns":       func(name string) error { _, err := s.Conns(name); return err },
		"Relisten":    s.Relisten,
	}
	for _, tt := range []struct{ method, name, text string }{
		{"Listener", "udp", `activation: listener "udp": wrong kind of descriptor: got fd 501, a datagram socket (udp) on 127.0.0.1:*; want a listening stream socket`},
		{"Listeners", "fifo", "got fd 502, a FIFO /*; want a listening stream socket"},
		{"Listener", "conn", "got fd 503, a connected stream socket (tcp) on *; want a listening stream socket"},
		{"PacketConn", "tcp", `activation: packet connection "tcp": wrong kind of descriptor: got fd 500, a listening stream socket (tcp) on *; want a datagram socket`},
		{"PacketConns", "fifo", "; want a datagram socket"},
		{"Conn", "tcp", `activation: connection "tcp": wrong kind of descriptor: got fd 500, a listening *; want a connected socket`},
		{"Conns", "udp", "; want a connected socket"},
		{"Relisten", "udp", "; want a listening stream socket"},
	} {
		err := take[tt.method](tt.name)
		if !errors.Is(err, ErrKind) {
			t.Errorf("%s(%q): %v, want ErrKind", tt.method, tt.name, err)
			continue
		}
		for part := range strings.SplitSeq(tt.text, "*") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s(%q): %v, want it to say %q", tt.method, tt.name, err, part)
			}
		}
	}
	if left := s.Unclaimed(); len(left) != 4 {
		t.Errorf("failed attempts took something: %v is left", left)
	}
}

func TestLookupErrors(t *testing.T) {
	leaktest.Check(t)
	empty := new(Set)
	if _, err := empty.Listener("http"); !errors.Is(err, ErrNotActivated) {
		t.Errorf("not activated: %v", err)
	}
	if err := empty.Close(); err != nil {
		t.Error(err)
	}
	s := inherit(t, []string{"web", "admin", "web"}, tcpListener(t), tcpListener(t), tcpListener(t))
	_, err := s.Listener("http")
	if want := `activation: listener "http": no descriptor of that name was inherited: there are ["admin" "web"]`; !errors.Is(err, ErrNoName) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = s.Listener("web")
	if !errors.Is(err, ErrSeveral) || !strings.Contains(err.Error(), "fd 500, a listening") || !strings.Contains(err.Error(), "fd 502, a listening") || !strings.Contains(err.Error(), "Listeners takes them all") {
		t.Errorf("two of one name: %v", err)
	}
	if _, err := s.File("web"); !errors.Is(err, ErrSeveral) {
		t.Errorf("two files of one name: %v", err)
	}
	l, err := s.Listener("admin")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := s.Listener("admin"); !errors.Is(err, ErrTaken) {
		t.Errorf("taken twice: %v", err)
	}
	err = s.Close()
	var unclaimed *UnclaimedError
	if !errors.As(err, &unclaimed) || len(unclaimed.Descriptors) != 2 {
		t.Fatalf("Close: %v, want the two that are left", err)
	}
	if text := fmt.Sprintf(`activation: closed what nobody took: "web" (fd 500): listening stream socket (tcp) on %v, "web" (fd 502): `, unclaimed.Descriptors[0].Kind.Addr); !strings.HasPrefix(err.Error(), text) {
		t.Errorf("Close: %v, want it to begin with %s", err, text)
	}
	if isOpen(500) || isOpen(502) {
		t.Error("Close left a descriptor open")
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := s.Listener("web"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOneNameTwoKinds(t *testing.T) {
	leaktest.Check(t)
	s := inherit(t, []string{"dns", "dns"}, udpSocket(t), tcpListener(t))
	l, err := s.Listener("dns")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := s.PacketConn("dns")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if l.Addr().Network() != "tcp" || p.LocalAddr().Network() != "udp" {
		t.Errorf("got %v and %v", l.Addr().Network(), p.LocalAddr().Network())
	}
}

// echo answers one connection of l.
func echo(t *testing.T, l net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			// io.Copy would splice, by pipes that the net package keeps.
			buf := make([]byte, 5)
			if _, err = io.ReadFull(c, buf); err == nil {
				_, err = c.Write(buf)
			}
			c.Close()
		}
		done <- err
	}()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "hello" {
		t.Fatalf("got %q, %v", buf, err)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestListenersServe(t *testing.T) {
	leaktest.Check(t)
	stream, streamPath := unixSocket(t, unix.SOCK_STREAM, true)
	packet, packetPath := unixSocket(t, unix.SOCK_SEQPACKET, true)
	s := inherit(t, []string{"all", "all", "all", "all"},
		tcpListener(t),
		socket(t, unix.AF_INET6, unix.SOCK_STREAM, 0, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}, true),
		stream, packet)
	listeners, err := s.Listeners("all")
	if err != nil || len(listeners) != 4 {
		t.Fatalf("%d listeners, %v", len(listeners), err)
	}
	for i, network := range []string{"tcp", "tcp", "unix", "unixpacket"} {
		if got := listeners[i].Addr().Network(); got != network {
			t.Errorf("listener %d is %s, want %s: in order", i, got, network)
		}
		if isOpen(firstTestFD + i) {
			t.Errorf("listener %d: the inherited descriptor is open beside its duplicate", i)
		}
		echo(t, listeners[i])
		// Close ends a blocked Accept only if the socket is non-blocking.
		ended := make(chan error, 1)
		go func() {
			_, err := listeners[i].Accept()
			ended <- err
		}()
		listeners[i].Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("listener %d: Accept ended with %v", i, err)
		}
	}
	for _, path := range []string{streamPath, packetPath} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("closing an inherited listener removed its path: %v", err)
		}
	}
}

func TestPacketConns(t *testing.T) {
	leaktest.Check(t)
	gram, path := unixSocket(t, unix.SOCK_DGRAM, false)
	s := inherit(t, []string{"udp", "gram"}, udpSocket(t), gram)
	for name, network := range map[string]string{"udp": "udp", "gram": "unixgram"} {
		p, err := s.PacketConn(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial(network, p.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		p.SetDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 10)
		if n, _, err := p.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
			t.Errorf("%s: got %q, %v", name, buf[:n], err)
		}
		c.Close()
		p.Close()
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	leaktest.Check(t)
	pipe, path := fifo(t)
	queue, _ := messageQueue(t)
	s := inherit(t, []string{"fifo", "rest", "rest", "rest"}, pipe, open(t, "/proc/self/comm"), queue, tcpListener(t))
	f, err := s.File("fifo")
	if err != nil {
		t.Fatal(err)
	}
	if f.Fd() != firstTestFD {
		t.Errorf("the file is descriptor %d, want the inherited one", f.Fd())
	}
	// Opened non-blocking, as a manager does with NonBlocking=yes: deadlines work.
	if err := f.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Error(err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read: %v, want the deadline", err)
	}
	f.SetReadDeadline(time.Now().Add(time.Minute))
	if err := os.WriteFile(path, []byte("hello"), 0); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(f, buf); err != nil || string(buf) != "hello" {
		t.Errorf("got %q, %v", buf, err)
	}
	f.Close()
	files, err := s.Files("rest")
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, want := range []Type{TypeRegular, TypeMessageQueue, TypeSocket} {
		k, err := Inspect(files[i])
		if err != nil || k.Type != want {
			t.Errorf("file %d is a %v, %v; want a %s", i, k, err, want)
		}
		files[i].Close()
	}
}

func TestConnKeepsTCPOptions(t *testing.T) {
	leaktest.Check(t)
	for _, set := range []tcpValues{{0, 0, 7200, 75, 9}, {1, 1, 33, 44, 5}, {0, 1, 15, 15, 9}} {
		fd, peer := tcpPair(t)
		for i, o := range tcpOptions {
			if err := unix.SetsockoptInt(fd, o.level, o.option, set[i]); err != nil {
				t.Fatal(err)
			}
		}
		s := inherit(t, []string{"connection"}, fd)
		c, err := s.Conn("connection")
		if err != nil {
			t.Fatal(err)
		}
		if c.RemoteAddr().String() != peer.LocalAddr().String() {
			t.Errorf("peer %v, want %v", c.RemoteAddr(), peer.LocalAddr())
		}
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			if got, err := readTCPOptions(int(fd)); err != nil || got != set {
				t.Errorf("options %v, %v; want %v", got, err, set)
			}
		})
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 5)
		if _, err := io.ReadFull(peer, buf); err != nil || string(buf) != "hello" {
			t.Errorf("got %q, %v", buf, err)
		}
		c.Close()
		peer.Close()
	}
}

func TestConnsOfUnix(t *testing.T) {
	leaktest.Check(t)
	stream, streamPeer := unixPair(t, unix.SOCK_STREAM)
	packet, packetPeer := unixPair(t, unix.SOCK_SEQPACKET)
	gram, gramPeer := unixPair(t, unix.SOCK_DGRAM)
	s := inherit(t, []string{"stored", "stored", "stored"}, stream, packet, gram)
	conns, err := s.Conns("stored")
	if err != nil || len(conns) != 3 {
		t.Fatalf("%d connections, %v", len(conns), err)
	}
	for i, peer := range []*os.File{streamPeer, packetPeer, gramPeer} {
		if _, err := peer.Write([]byte("hello")); err != nil {
			t.Error(err)
		}
		conns[i].SetDeadline(time.Now().Add(time.Minute))
		buf := make([]byte, 10)
		if n, err := conns[i].Read(buf); err != nil || string(buf[:n]) != "hello" {
			t.Errorf("connection %d: got %q, %v", i, buf[:n], err)
		}
		conns[i].Close()
	}
}

// A client may reset its connection before the service that it started looks.
func TestConnOfResetPeer(t *testing.T) {
	leaktest.Check(t)
	fd, peer := tcpPair(t)
	peer.(*net.TCPConn).SetLinger(0)
	peer.Close()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(p, 60_000); err != nil {
		t.Fatal(err)
	}
	s := inherit(t, []string{"connection"}, fd)
	if _, err := s.Conn("connection"); !errors.Is(err, ErrKind) {
		t.Errorf("got %v, want ErrKind", err)
	}
}

// EMFILE in the middle of many must neither lose nor leak one.
func TestTakeAllOrNothing(t *testing.T) {
	leaktest.Check(t)
	s := inherit(t, []string{"a", "a", "a"}, tcpListener(t), tcpListener(t), tcpListener(t))
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	lowest, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(lowest)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowest + 2), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	_, err = s.Listeners("a")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Fatalf("got %v, want EMFILE", err)
	}
	listeners, err := s.Listeners("a")
	if err != nil || len(listeners) != 3 {
		t.Fatalf("afterwards: %d listeners, %v", len(listeners), err)
	}
	for _, l := range listeners {
		echo(t, l)
		l.Close()
	}
}
