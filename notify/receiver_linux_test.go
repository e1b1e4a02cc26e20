package notify_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// sendRaw sends any bytes and descriptors, as a careless or hostile client might.
func sendRaw(t *testing.T, socket, payload string, fds ...int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(fd, []byte(payload), oob, &unix.SockaddrUnix{Name: socket}, 0); err != nil {
		t.Fatal(err)
	}
}

// pipe returns the ends of a pipe that are closed with the test.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestReceiveRefuses(t *testing.T) {
	leaktest.Check(t)
	r := listen(t, socketPath(t))
	for _, tt := range []struct {
		name, payload string
		files         int
		want          error
	}{
		{"too long", strings.Repeat("x", notify.MaxMessage+1), 1, notify.ErrTooLarge},
		{"NUL inside", "A=\x00B=", 1, notify.ErrInvalid},
		{"backslash at the end", `STATUS=\`, 1, notify.ErrInvalid},
		{"barrier with company", "BARRIER=1\nREADY=1", 1, notify.ErrInvalid},
		{"barrier without a descriptor", "BARRIER=1", 0, notify.ErrInvalid},
		{"barrier with two descriptors", "BARRIER=1", 2, notify.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, w := pipe(t)
			fds := []int{int(w.Fd()), int(w.Fd())}[:tt.files]
			sendRaw(t, r.Addr(), tt.payload, fds...)
			sendRaw(t, r.Addr(), "READY=1")
			got, err := r.Receive(limited(t))
			if got != nil || !errors.Is(err, notify.ErrRefused) || !errors.Is(err, tt.want) {
				t.Fatalf("got %v, %v, want ErrRefused and %v", got, err, tt.want)
			}
			if !strings.Contains(err.Error(), "PID ") {
				t.Errorf("error %q does not name the sender", err)
			}
			if got, err = r.Receive(limited(t)); err != nil || !got.Message.Has("READY", "1") {
				t.Errorf("the next message: %v, %v", got, err)
			}
		})
	}
}

// A receiver at its limit of open files gets fewer than were sent, and must not
// take those for all.
func TestReceiveNoticesLostDescriptors(t *testing.T) {
	leaktest.Check(t)
	r := listen(t, socketPath(t))
	_, w := pipe(t)
	var fds []int
	for range 100 {
		fds = append(fds, int(w.Fd()))
	}
	sendRaw(t, r.Addr(), "FDSTORE=1", fds...)
	ctx := limited(t)

	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	next, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(next)
	low := before
	low.Cur = uint64(next + 50)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	got, recvErr := r.Receive(ctx)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if got != nil || !errors.Is(recvErr, notify.ErrRefused) || !errors.Is(recvErr, notify.ErrTruncated) {
		t.Fatalf("got %v, %v, want ErrRefused and ErrTruncated", got, recvErr)
	}
}

func TestReceiveFiles(t *testing.T) {
	leaktest.Check(t)
	r := listen(t, socketPath(t))
	pr, pw := pipe(t)
	sendRaw(t, r.Addr(), "FDSTORE=1", int(pw.Fd()), int(pw.Fd()))
	pw.Close()
	got, err := r.Receive(limited(t))
	if err != nil || len(got.Files) != 2 || got.Barrier() {
		t.Fatalf("got %+v, %v, want two files", got, err)
	}
	for _, f := range got.Files {
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v: it would leak into children", flags, err)
		}
	}
	kept := got.Take()
	if err := got.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := kept[0].WriteString("x"); err != nil {
		t.Errorf("a file that was taken: %v", err)
	}
	kept[0].Close()
	kept[1].Close()
	if b, err := os.ReadFile("/proc/self/fdinfo/0"); err != nil || len(b) == 0 {
		t.Fatal(err)
	}
	var b [2]byte
	if n, _ := pr.Read(b[:]); n != 1 {
		t.Errorf("read %d bytes, want 1", n)
	}
	if _, err := pr.Read(b[:]); err == nil {
		t.Error("a writing end is still open")
	}
}

func TestReceiveUnblocks(t *testing.T) {
	leaktest.Check(t)
	r := listen(t, socketPath(t))
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error, 2)
	receive := func(ctx context.Context) {
		_, err := r.Receive(ctx)
		got <- err
	}
	go receive(ctx)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("at the end of its context: %v", err)
	}
	// The deadline that woke it must not outlive the call.
	sendRaw(t, r.Addr(), "READY=1")
	if m, err := r.Receive(limited(t)); err != nil || !m.Message.Has("READY", "1") {
		t.Errorf("afterwards: %v, %v", m, err)
	}
	go receive(context.Background())
	go receive(context.Background())
	r.Close()
	for range 2 {
		if err := <-got; !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v, want net.ErrClosed", err)
		}
	}
	if err := r.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close: %v, want net.ErrClosed", err)
	}
}

func TestBarrierIsAnsweredByClose(t *testing.T) {
	leaktest.Check(t)
	r := listen(t, socketPath(t))
	n := open(t, r.Addr())
	if err := n.Ready(limited(t)); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- n.Barrier(limited(t)) }()
	first, err := r.Receive(limited(t))
	if err != nil || first.Barrier() {
		t.Fatalf("first came %v, %v, want READY", first, err)
	}
	barrier, err := r.Receive(limited(t))
	if err != nil || !barrier.Barrier() {
		t.Fatalf("second came %v, %v, want the barrier", barrier, err)
	}
	first.Close()
	select {
	case err := <-answered:
		t.Fatalf("answered before the barrier was closed: %v", err)
	default:
	}
	barrier.Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestListenReplacesOnlyStaleSockets(t *testing.T) {
	leaktest.Check(t)
	path := socketPath(t)
	stale, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	stale.Close()
	r := listen(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v, %v, want 0666", info.Mode(), err)
	}
	if _, err := notify.Listen(path); !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), path) {
		t.Errorf("over a live socket: %v, want EADDRINUSE with the path", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatalf("Close left the path: %v", err)
	}
	if _, err := notify.Listen(path); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("over a file: %v, want EADDRINUSE", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		t.Errorf("the file became %q, %v", b, err)
	}
	for _, bad := range []string{"", "relative", "vsock:2:1234", "/" + strings.Repeat("x", 200)} {
		if _, err := notify.Listen(bad); !errors.Is(err, notify.ErrInvalid) {
			t.Errorf("Listen(%q): %v, want ErrInvalid", bad, err)
		}
	}
}

func TestFileReceiver(t *testing.T) {
	leaktest.Check(t)
	for _, path := range []string{socketPath(t), "@holdfast-test-file"} {
		r := listen(t, path)
		sendRaw(t, path, "READY=1")
		f, err := r.File()
		if err != nil {
			t.Fatal(err)
		}
		heir, err := notify.FileReceiver(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		defer heir.Close()
		if heir.Addr() != path {
			t.Errorf("address %q, want %q", heir.Addr(), path)
		}
		if got, err := heir.Receive(limited(t)); err != nil || got.PID != os.Getpid() {
			t.Errorf("what was queued before: %v, %v", got, err)
		}
	}
	pr, _ := pipe(t)
	if _, err := notify.FileReceiver(pr); !errors.Is(err, notify.ErrInvalid) {
		t.Errorf("a pipe: %v, want ErrInvalid", err)
	}
}
