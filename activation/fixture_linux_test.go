package activation

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// firstTestFD is where tests place descriptors: the process's own are below.
const firstTestFD = 500

// pass places descriptors at consecutive numbers as a manager would, without
// close-on-exec, and returns Options with which they are inherited under names.
// It takes the descriptors over.
func pass(t testing.TB, names []string, fds ...int) Options {
	t.Helper()
	if len(names) != len(fds) {
		t.Fatalf("%d names for %d descriptors", len(names), len(fds))
	}
	for i, fd := range fds {
		place(t, fd, firstTestFD+i)
	}
	return Options{
		FirstFD: firstTestFD,
		Env: map[string]string{
			envPID:   strconv.Itoa(os.Getpid()),
			envFDs:   strconv.Itoa(len(fds)),
			envNames: strings.Join(names, ":"),
		},
	}
}

// place moves fd to the number want.
func place(t testing.TB, fd, want int) {
	t.Helper()
	got, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD, want)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		unix.Close(got)
		t.Fatalf("descriptor %d is in use", want)
	}
	unix.Close(fd)
}

// inherit passes descriptors and inherits them. The test's end closes the set.
func inherit(t testing.TB, names []string, fds ...int) *Set {
	t.Helper()
	s, err := pass(t, names, fds...).Inherit()
	t.Cleanup(func() { s.Close() })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// socket makes a blocking socket as a manager holds it: bound to sa unless that is
// nil, and listening if so asked.
func socket(t testing.TB, domain, sotype, protocol int, sa unix.Sockaddr, listen bool) int {
	t.Helper()
	fd, err := unix.Socket(domain, sotype|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		t.Fatalf("socket(%d, %d, %d): %v", domain, sotype, protocol, err)
	}
	if sa != nil {
		if err := unix.Bind(fd, sa); err != nil {
			unix.Close(fd)
			t.Fatalf("bind %v: %v", sa, err)
		}
	}
	if listen {
		if err := unix.Listen(fd, 16); err != nil {
			unix.Close(fd)
			t.Fatalf("listen: %v", err)
		}
	}
	return fd
}

var loopback = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}

func tcpListener(t testing.TB) int {
	t.Helper()
	return socket(t, unix.AF_INET, unix.SOCK_STREAM, 0, loopback, true)
}

func udpSocket(t testing.TB) int {
	t.Helper()
	return socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0, loopback, false)
}

// unixSocket makes a Unix socket at a path of its own.
func unixSocket(t testing.TB, sotype int, listen bool) (fd int, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	return socket(t, unix.AF_UNIX, sotype, 0, &unix.SockaddrUnix{Name: path}, listen), path
}

// tcpPair makes a connection over the loopback: one end as a blocking descriptor,
// the other for the test to talk to.
func tcpPair(t testing.TB) (fd int, peer net.Conn) {
	t.Helper()
	l := tcpListener(t)
	defer unix.Close(l)
	sa, err := unix.Getsockname(l)
	if err != nil {
		t.Fatal(err)
	}
	peer, err = net.Dial("tcp", address("tcp", sa).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	fd, _, err = unix.Accept4(l, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	return fd, peer
}

// unixPair makes a pair of connected Unix sockets.
func unixPair(t testing.TB, sotype int) (fd int, peer *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, sotype|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	peer = os.NewFile(uintptr(fds[1]), "peer")
	t.Cleanup(func() { peer.Close() })
	return fds[0], peer
}

func open(t testing.TB, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	return fd
}

func fifo(t testing.TB) (fd int, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, path), path
}

// messageQueue makes a POSIX message queue.
func messageQueue(t testing.TB) (fd int, name string) {
	t.Helper()
	name = "/holdfast-test-" + strconv.Itoa(os.Getpid())
	p, err := unix.BytePtrFromString(name[1:]) // the C library strips the slash, too
	if err != nil {
		t.Fatal(err)
	}
	n, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(p)), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600, 0, 0, 0)
	if errno != 0 {
		t.Skipf("mq_open: %v", errno)
	}
	t.Cleanup(func() { unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0) })
	return int(n), name
}

func flags(t testing.TB, fd int) (closeOnExec, nonblock bool) {
	t.Helper()
	d, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil {
		t.Fatalf("fd %d: %v", fd, err)
	}
	s, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatalf("fd %d: %v", fd, err)
	}
	return d&unix.FD_CLOEXEC != 0, s&unix.O_NONBLOCK != 0
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// What the tests of package activation_test need to know of this machine.

// HasPidfdID tells whether a process can know its LISTEN_PIDFDID.
func HasPidfdID() bool {
	_, ok := ownPidfdID()
	return ok
}

// VsockMissing says why there is no vsock, or nil.
func VsockMissing() error {
	fd, err := vsockSocket(unix.VMADDR_CID_ANY)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
