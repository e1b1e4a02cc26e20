package activation

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestKinds(t *testing.T) {
	leaktest.Check(t)
	unixFD, path := unixSocket(t, unix.SOCK_STREAM, true)
	gramFD, gramPath := unixSocket(t, unix.SOCK_DGRAM, false)
	seqFD, seqPath := unixSocket(t, unix.SOCK_SEQPACKET, true)
	fifoFD, fifoPath := fifo(t)
	mqFD, mqName := messageQueue(t)
	connFD, peer := tcpPair(t)
	pairFD, _ := unixPair(t, unix.SOCK_SEQPACKET)
	abstract := fmt.Sprintf("@holdfast-kinds-%d", os.Getpid())
	memfd, err := unix.MemfdCreate("state", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	eventfd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	timerfd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	regular := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(regular, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		fd      int
		text    string // may have a * for what differs from run to run
		network string
	}{
		{tcpListener(t), "listening stream socket (tcp) on 127.0.0.1:*", "tcp"},
		{socket(t, unix.AF_INET6, unix.SOCK_STREAM, 0, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}, true), "listening stream socket (tcp) on [::1]:*", "tcp"},
		{socket(t, unix.AF_INET, unix.SOCK_STREAM, 0, loopback, false), "shut stream socket (tcp) on 127.0.0.1:*", "tcp"},
		{socket(t, unix.AF_INET, unix.SOCK_STREAM, 0, nil, false), "stream socket (tcp) on 0.0.0.0:0", "tcp"},
		{connFD, "connected stream socket (tcp) on " + peer.RemoteAddr().String() + " with peer " + peer.LocalAddr().String(), "tcp"},
		{udpSocket(t), "datagram socket (udp) on 127.0.0.1:*", "udp"},
		{socket(t, unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE, nil, false), "datagram socket (udplite) on 0.0.0.0:0", "udp"},
		{socket(t, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP, nil, false), "raw socket (IP protocol 1)", ""},
		{unixFD, "listening stream socket (unix) on " + path, "unix"},
		{gramFD, "datagram socket (unix) on " + gramPath, "unixgram"},
		{seqFD, "listening seqpacket socket (unix) on " + seqPath, "unixpacket"},
		{pairFD, "connected seqpacket socket (unix)", "unixpacket"},
		{socket(t, unix.AF_UNIX, unix.SOCK_STREAM, 0, &unix.SockaddrUnix{Name: abstract}, false), "shut stream socket (unix) on " + abstract, "unix"},
		{socket(t, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT, nil, false), "raw socket (netlink)", ""},
		{fifoFD, "FIFO " + fifoPath, ""},
		{mqFD, "message queue " + mqName, ""},
		{open(t, os.DevNull), "character device /dev/null", ""},
		{open(t, regular), "regular file " + regular, ""},
		{folder, "directory /", ""},
		{memfd, "memfd", ""},
		{eventfd, "eventfd", ""},
		{epoll, "epoll", ""},
		{pidfd, "pidfd", ""},
		{timerfd, "other descriptor", ""},
	} {
		f := os.NewFile(uintptr(tt.fd), "test")
		k, err := Inspect(f)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
		}
		f.Close()
		if k, err := Inspect(f); err == nil {
			t.Errorf("%s: inspected when closed, as %v", tt.text, k)
		}
		got := k.String()
		if before, _, varies := strings.Cut(tt.text, "*"); varies && strings.HasPrefix(got, before) {
			got = tt.text
		}
		if got != tt.text {
			t.Errorf("got %q, want %q", got, tt.text)
		}
		if k.Network != tt.network {
			t.Errorf("%s: network %q, want %q", tt.text, k.Network, tt.network)
		}
	}
}

func TestInspectLeavesModeAlone(t *testing.T) {
	leaktest.Check(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File() // its Fd would make the listener blocking
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k, err := Inspect(f)
	if err != nil || !k.Listening || k.Addr.String() != l.Addr().String() {
		t.Fatalf("got %v, %v", k, err)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if _, nonblock := flags(t, int(fd)); !nonblock {
			t.Error("Inspect made the socket blocking")
		}
	})
}

// kindOf inspects a descriptor and closes it.
func kindOf(t *testing.T, fd int) Kind {
	t.Helper()
	defer unix.Close(fd)
	k, err := inspect(fd)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestChecksOfSockets(t *testing.T) {
	leaktest.Check(t)
	tcp := kindOf(t, tcpListener(t))
	udp := kindOf(t, udpSocket(t))
	fd, path := unixSocket(t, unix.SOCK_STREAM, true)
	stream := kindOf(t, fd)
	name := fmt.Sprintf("holdfast-checks-%d", os.Getpid())
	abstract := kindOf(t, socket(t, unix.AF_UNIX, unix.SOCK_DGRAM, 0, &unix.SockaddrUnix{Name: "@" + name}, false))
	null := kindOf(t, open(t, os.DevNull))
	port := tcp.Addr.(*net.TCPAddr).Port
	for i, tt := range []struct{ got, want bool }{
		{tcp.IsSocket(0, 0, AnyState), true},
		{tcp.IsSocket(unix.AF_INET, unix.SOCK_STREAM, Listening), true},
		{tcp.IsSocket(unix.AF_INET, unix.SOCK_STREAM, NotListening), false},
		{tcp.IsSocket(unix.AF_INET6, 0, AnyState), false},
		{tcp.IsSocket(0, unix.SOCK_DGRAM, AnyState), false},
		{udp.IsSocket(0, 0, Listening), false},
		{udp.IsSocket(0, 0, NotListening), true},
		{null.IsSocket(0, 0, AnyState), false},
		{null.IsSocket(0, 0, NotListening), false},

		{tcp.IsSocketInet(0, 0, AnyState, 0), true},
		{tcp.IsSocketInet(unix.AF_INET, unix.SOCK_STREAM, Listening, port), true},
		{tcp.IsSocketInet(unix.AF_INET6, 0, AnyState, 0), false},
		{tcp.IsSocketInet(0, 0, AnyState, port+1), false},
		{udp.IsSocketInet(0, unix.SOCK_DGRAM, NotListening, udp.Addr.(*net.UDPAddr).Port), true},
		{stream.IsSocketInet(0, 0, AnyState, 0), false},
		{null.IsSocketInet(0, 0, AnyState, 0), false},

		{stream.IsSocketUnix(0, AnyState, ""), true},
		{stream.IsSocketUnix(unix.SOCK_STREAM, Listening, path), true},
		{stream.IsSocketUnix(0, AnyState, path+"x"), false},
		{stream.IsSocketUnix(0, NotListening, path), false},
		{stream.IsSocketUnix(unix.SOCK_DGRAM, AnyState, path), false},
		{abstract.IsSocketUnix(unix.SOCK_DGRAM, AnyState, "@"+name), true},
		{abstract.IsSocketUnix(0, AnyState, "\x00"+name), true},
		{abstract.IsSocketUnix(0, AnyState, name), false},
		{tcp.IsSocketUnix(0, AnyState, ""), false},
		{null.IsSocketUnix(0, AnyState, ""), false},
		{Kind{}.IsSocketUnix(0, AnyState, ""), false},
	} {
		if tt.got != tt.want {
			t.Errorf("check %d is %v, want %v", i, tt.got, tt.want)
		}
	}
}

func TestChecksOfFiles(t *testing.T) {
	leaktest.Check(t)
	fifoFD, fifoPath := fifo(t)
	queueFD, queueName := messageQueue(t)
	kinds := map[string]Kind{
		"fifo":  kindOf(t, fifoFD),
		"queue": kindOf(t, queueFD),
		"null":  kindOf(t, open(t, os.DevNull)),
		"file":  kindOf(t, open(t, "/proc/self/comm")),
		"tcp":   kindOf(t, tcpListener(t)),
	}
	otherFD, otherFIFO := fifo(t)
	unix.Close(otherFD)
	checks := map[string]func(Kind, string) (bool, error){
		"IsFIFO": Kind.IsFIFO, "IsSpecial": Kind.IsSpecial, "IsMQ": Kind.IsMQ,
	}
	for _, tt := range []struct {
		check, kind, path string
		want              bool
	}{
		{"IsFIFO", "fifo", "", true},
		{"IsFIFO", "fifo", fifoPath, true},
		{"IsFIFO", "fifo", otherFIFO, false},
		{"IsFIFO", "fifo", "/does/not/exist", false},
		{"IsFIFO", "fifo", os.DevNull + "/x", false},
		{"IsFIFO", "null", "", false},
		{"IsFIFO", "tcp", fifoPath, false},
		{"IsSpecial", "null", "", true},
		{"IsSpecial", "null", "/dev/null", true},
		{"IsSpecial", "null", "/dev/zero", false},
		{"IsSpecial", "file", "/proc/self/comm", true},
		{"IsSpecial", "file", "/proc/self/status", false},
		{"IsSpecial", "file", "/does/not/exist", false},
		{"IsSpecial", "fifo", "", false},
		{"IsSpecial", "tcp", "", false},
		{"IsMQ", "queue", "", true},
		{"IsMQ", "queue", "/holdfast-is-not-there", false},
		{"IsMQ", "file", "", false},
		{"IsMQ", "tcp", queueName, false},
	} {
		got, err := checks[tt.check](kinds[tt.kind], tt.path)
		if err != nil || got != tt.want {
			t.Errorf("%s of %s with %q: %v, %v; want %v", tt.check, tt.kind, tt.path, got, err, tt.want)
		}
	}
	if _, err := kinds["queue"].IsMQ("relative"); err == nil {
		t.Error("a name without a slash was taken")
	}
}

// envQueue names the queue that childQueue compares.
const envQueue = "ACTIVATION_TEST_QUEUE"

// childQueue compares a queue by name where /dev/mqueue is mounted, in a mount
// namespace of its own.
var childQueue = Helper("queue", func() error {
	if err := os.MkdirAll("/dev/mqueue", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("mqueue", "/dev/mqueue", "mqueue", 0, ""); err != nil {
		return err
	}
	s, err := Inherit()
	if err != nil {
		return err
	}
	defer s.Files("queue")
	for name, want := range map[string]bool{os.Getenv(envQueue): true, "/holdfast-is-not-there": false} {
		if got, err := s.Unclaimed()[0].Kind.IsMQ(name); err != nil || got != want {
			return fmt.Errorf("IsMQ(%q): %v, %w; want %v", name, got, err, want)
		}
	}
	return nil
})

func TestMessageQueueByName(t *testing.T) {
	leaktest.Check(t)
	if os.Getuid() != 0 {
		t.Skip("only root can mount /dev/mqueue")
	}
	fd, name := messageQueue(t)
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	cmd := helpertest.Command(t, childQueue)
	cmd.Env = append(cmd.Env, envQueue+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := Start(t.Context(), cmd, NamedFile{"queue", f}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
