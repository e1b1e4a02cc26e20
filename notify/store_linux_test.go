package notify_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// memfd returns a file of its own that is closed with the test.
func memfd(t testing.TB, content string) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("holdfast", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestStoreSplits(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n := open(t, m.Socket())
	const count = 1000
	var files []syscall.Conn
	for range count {
		files = append(files, memfd(t, ""))
	}
	if err := n.StoreUnpolled(limited(t), "many", files...); err != nil {
		t.Fatal(err)
	}
	if err := n.Barrier(limited(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(m.Stored()["many"]); got != count {
		t.Errorf("%d stored, want %d", got, count)
	}
	messages := m.Messages()
	if len(messages) != 4 {
		t.Errorf("%d messages, want 4 of at most %d descriptors", len(messages), notify.MaxFiles)
	}
	for _, msg := range messages {
		if got := fmt.Sprint(msg); got != "[FDSTORE=1 FDNAME=many FDPOLL=0]" {
			t.Errorf("a part says %s", got)
		}
	}
	if err := n.SendFiles(limited(t), files, notify.Field{Key: "FDSTORE", Value: "1"}); !errors.Is(err, notify.ErrTooManyFiles) {
		t.Errorf("1,000 in one message: %v, want ErrTooManyFiles", err)
	}
	if err := n.Remove(limited(t), "many"); err != nil {
		t.Fatal(err)
	}
	if err := n.Barrier(limited(t)); err != nil {
		t.Fatal(err)
	}
	if got := m.Stored(); len(got) != 0 {
		t.Errorf("%d names left after Remove", len(got))
	}
}

func TestStoreRefuses(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n := open(t, m.Socket())
	closed := memfd(t, "")
	closed.Close()
	var none *os.File
	for _, tt := range []struct {
		what, name string
		files      []syscall.Conn
		want       error
	}{
		{"no file", "name", nil, notify.ErrInvalid},
		{"a closed file", "name", []syscall.Conn{memfd(t, ""), closed}, os.ErrClosed},
		{"a nil file", "name", []syscall.Conn{none}, os.ErrInvalid},
		{"a nil interface", "name", []syscall.Conn{nil}, notify.ErrInvalid},
		{"a colon", "a:b", []syscall.Conn{memfd(t, "")}, notify.ErrInvalid},
		{"a control character", "a\tb", []syscall.Conn{memfd(t, "")}, notify.ErrInvalid},
		{"not ASCII", "ä", []syscall.Conn{memfd(t, "")}, notify.ErrInvalid},
		{"a long name", strings.Repeat("n", 256), []syscall.Conn{memfd(t, "")}, notify.ErrInvalid},
	} {
		if err := n.Store(limited(t), tt.name, tt.files...); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
	if err := n.Remove(limited(t), "a:b"); !errors.Is(err, notify.ErrInvalid) {
		t.Errorf("Remove of a bad name: %v, want ErrInvalid", err)
	}
	if err := n.Barrier(limited(t)); err != nil {
		t.Fatal(err)
	}
	if got := m.Messages(); len(got) != 0 {
		t.Errorf("sent %v", got)
	}
}

// Storing must not switch what it stores to blocking mode: a Go program's Accept
// would then no longer wake when the listener is closed.
func TestStoreKeepsNonBlockingMode(t *testing.T) {
	leaktest.Check(t)
	m := notifytest.New(t)
	n := open(t, m.Socket())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := n.Store(limited(t), "listener", ln.(*net.TCPListener)); err != nil {
		t.Fatal(err)
	}
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v, want O_NONBLOCK", flags, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
