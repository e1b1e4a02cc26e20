package fd

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDuplicate(t *testing.T) {
	r, w, err := os.Pipe() // non-blocking
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	dup, err := Duplicate(r, "pipe")
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	if !Same(r, dup) || Same(r, w) || dup.Name() != "pipe" {
		t.Errorf("same as its duplicate: %v, as the other end: %v, name %q", Same(r, dup), Same(r, w), dup.Name())
	}
	var flags, mode int
	err = With(dup, func(fd int) (err error) {
		if flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return err
		}
		mode, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	if err != nil || flags&unix.FD_CLOEXEC == 0 || mode&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, mode %#x, %v: want close-on-exec, and non-blocking as before", flags, mode, err)
	}
	r.Close()
	if _, err := Duplicate(r, "closed"); err == nil {
		t.Error("a closed file is no error")
	}
	if Same(r, dup) || Same(dup, r) {
		t.Error("a closed file is the same as one that is open")
	}
	if _, err := w.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if n, err := dup.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read from the duplicate: %d, %v", n, err)
	}
}

func TestWith(t *testing.T) {
	failed := errors.New("failed")
	if err := With(os.Stderr, func(int) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want the function's error", err)
	}
	CloseAll(nil)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	CloseAll([]*os.File{f})
	if err := With(f, func(int) error { t.Error("called for a closed file"); return nil }); err == nil {
		t.Error("a closed file is no error")
	}
}

// TestNoMoreDescriptors: the limit of open files is what errors.Is finds.
func TestNoMoreDescriptors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	f, err := Duplicate(r, "pipe")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if f != nil || !errors.Is(err, unix.EMFILE) {
		t.Errorf("%v, %v, want EMFILE", f, err)
	}
}

// TestNoDescriptor: what has no descriptor is an error.
func TestNoDescriptor(t *testing.T) {
	var none *os.File
	if err := With(none, func(int) error { t.Error("it is called"); return nil }); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("%v, want that it is invalid", err)
	}
}
