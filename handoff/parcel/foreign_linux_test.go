package parcel

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestForeignSockets reads from what is no parcel.
func TestForeignSockets(t *testing.T) {
	leaktest.Check(t)
	r0, _ := pipe(t)
	if _, err := NewReader(r0, ReaderOptions{}); !errors.Is(err, ErrFormat) {
		t.Errorf("a pipe: %v", err)
	}
	for name, typ := range map[string]int{"stream": unix.SOCK_STREAM, "datagram": unix.SOCK_DGRAM} {
		p := must(unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0))
		f := os.NewFile(uintptr(p[0]), name)
		if _, err := NewReader(f, ReaderOptions{}); !errors.Is(err, ErrFormat) {
			t.Errorf("a %s socket: %v", name, err)
		}
		if _, err := Drained(f); !errors.Is(err, ErrFormat) {
			t.Errorf("a %s socket: Drained: %v", name, err)
		}
		f.Close()
		unix.Close(p[1])
	}
	fd := must(unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
	alone := os.NewFile(uintptr(fd), "alone")
	defer alone.Close()
	if _, err := NewReader(alone, ReaderOptions{}); !errors.Is(err, ErrFormat) {
		t.Errorf("a socket that is not connected: %v", err)
	}
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	f := must(ln.(*net.TCPListener).File())
	defer f.Close()
	if _, err := NewReader(f, ReaderOptions{}); !errors.Is(err, ErrFormat) {
		t.Errorf("a TCP listener: %v", err)
	}
}

// TestForeignMessages has messages that no writer of this version sends. Each is
// refused, stays where it is, and leaves no descriptor behind.
func TestForeignMessages(t *testing.T) {
	entry := Entry{Kind: "k", Payload: []byte("payload")}
	_, w0 := pipe(t)
	with := func(n int) Entry {
		e := entry
		for range n {
			e.Descriptors = append(e.Descriptors, w0)
		}
		return e
	}
	good := func() []byte { return encodeMessage(header{Seq: 1}, with(2)) }
	inMemfd := func(size int64, descriptors int) []byte {
		return appendHeader(nil, header{Type: typeData, Memfd: true, Descriptors: descriptors, Entries: 1, BodyLen: size, Seq: 1})
	}
	body := good()[headerSize:]
	for _, c := range []struct {
		name  string
		m     []byte
		files []*os.File
		want  error
	}{
		{"garbage", []byte("READY=1\n"), []*os.File{w0, w0}, ErrFormat},
		{"empty, with descriptors", nil, []*os.File{w0}, ErrFormat},
		{"newer version", func() []byte { m := good(); m[8] = 2; return m }(), []*os.File{w0, w0}, ErrVersion},
		{"longer than allowed", func() []byte { return append(good(), make([]byte, maxMessage)...) }(), nil, ErrFormat},
		{"newer version, longer", func() []byte { m := append(good(), make([]byte, maxMessage)...); m[8] = 2; return m }(), nil, ErrVersion},
		{"descriptors missing", good(), []*os.File{w0}, ErrFormat},
		{"descriptors to spare", good(), []*os.File{w0, w0, w0}, ErrFormat},
		{"no memfd", inMemfd(int64(len(body)), 3), []*os.File{w0, w0, w0}, ErrFormat},
		{"memfd without seals", inMemfd(int64(len(body)), 3), []*os.File{memfd(t, body, 0), w0, w0}, ErrFormat},
		{"memfd with few seals", inMemfd(int64(len(body)), 3), []*os.File{memfd(t, body, unix.F_SEAL_GROW|unix.F_SEAL_WRITE), w0, w0}, ErrFormat},
		{"memfd too short", inMemfd(int64(len(body)), 3), []*os.File{memfd(t, body[1:], bodySeals), w0, w0}, ErrFormat},
		{"memfd too long", inMemfd(int64(len(body))-1, 3), []*os.File{memfd(t, body, bodySeals), w0, w0}, ErrFormat},
		{"memfd of garbage", inMemfd(50, 1), []*os.File{memfd(t, make([]byte, 50), bodySeals)}, ErrFormat},
		{"out of order", encodeMessage(header{Seq: 1, Before: Counts{1, 0, 0}}, entry), nil, ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			writeEnd, readEnd := seqpacketFiles(t)
			conns := make([]syscall.RawConn, len(c.files))
			for i, f := range c.files {
				conns[i] = must(f.SyscallConn())
			}
			control(t, writeEnd, func(fd int) {
				_, err := hold(conns, nil, func(fds []int) {
					if err := sendBare(fd, c.m, fds); err != nil {
						t.Fatal(err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			})
			r := newReader(t, readEnd)
			for range 2 {
				if _, err := r.Receive(within(t)); !errors.Is(err, c.want) {
					t.Errorf("Receive: %v, want %v", err, c.want)
				}
			}
			control(t, readEnd, func(fd int) {
				if n := must(unix.IoctlGetInt(fd, unix.SIOCINQ)); n != len(c.m) {
					t.Errorf("%d bytes are in the queue, want %d", n, len(c.m))
				}
			})
			switch c.name {
			case "descriptors missing", "descriptors to spare", "empty, with descriptors":
				return // Peek leaves those to Receive
			}
			if _, err := r.Peek(nil); !errors.Is(err, c.want) {
				t.Errorf("Peek: %v, want %v", err, c.want)
			}
		})
	}
}

// sendBare is sendMessage without what package unix adds: a byte to an empty
// message.
func sendBare(fd int, m []byte, fds []int) error {
	if len(m) > 0 {
		return sendMessage(fd, m, fds)
	}
	oob := unix.UnixRights(fds...)
	h := unix.Msghdr{Control: &oob[0]}
	h.SetControllen(len(oob))
	if _, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)), 0); errno != 0 {
		return errno
	}
	return nil
}

// memfd returns a memfd that holds body and has seals.
func memfd(t *testing.T, body []byte, seals int) *os.File {
	t.Helper()
	fd := must(unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING))
	f := os.NewFile(uintptr(fd), "memfd")
	t.Cleanup(func() { f.Close() })
	must(f.Write(body))
	must(unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals))
	return f
}

// TestEndTwice has messages behind the END record.
func TestEndTwice(t *testing.T) {
	leaktest.Check(t)
	writeEnd, readEnd := seqpacketFiles(t)
	control(t, writeEnd, func(fd int) {
		for seq := range uint64(2) {
			if err := sendMessage(fd, appendHeader(nil, header{Type: typeEnd, Seq: seq + 1}), nil); err != nil {
				t.Fatal(err)
			}
		}
	})
	if found, err := newReader(t, readEnd).Peek(nil); !errors.Is(err, ErrFormat) || !found.Complete {
		t.Errorf("Peek: %+v, %v", found, err)
	}
}

// TestTwoReaders has two that read one parcel at once: it is noticed.
func TestTwoReaders(t *testing.T) {
	leaktest.Check(t)
	ctx := within(t)
	w, f := newParcel(t, WriterOptions{})
	for range 3 {
		if err := errors.Join(w.Put(ctx, Entry{Kind: "k"}), w.Flush(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	r, other := newReader(t, f), newReader(t, f)
	_, err := r.e.receive(ctx, r.buf, func([]byte, []int) error {
		_, err := other.Receive(ctx)
		return err
	})
	if !errors.Is(err, ErrTaken) {
		t.Errorf("Receive: %v", err)
	}
}
