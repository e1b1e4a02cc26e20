package parcel

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// within bounds everything that a test waits for.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// newParcel makes a parcel whose ends the test closes.
func newParcel(t testing.TB, o WriterOptions) (*Writer, *os.File) {
	t.Helper()
	w, f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Abandon()
		f.Close()
	})
	return w, f
}

// newReader reads from f with a reader that the test closes.
func newReader(t testing.TB, f *os.File) *Reader {
	t.Helper()
	r, err := NewReader(f, ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// receiveAll receives until there is no more, and returns the error that said
// so.
func receiveAll(t testing.TB, r *Reader) ([]*Item, error) {
	t.Helper()
	var all []*Item
	t.Cleanup(func() {
		for _, it := range all {
			it.Close()
		}
	})
	for ctx := within(t); ; {
		items, err := r.Receive(ctx)
		if err != nil {
			return all, err
		}
		if len(items) == 0 {
			t.Fatal("Receive returned neither items nor an error")
		}
		all = append(all, items...)
	}
}

// pipe returns a pipe whose read end is closed with the test.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		w.Close()
	})
	return r, w
}

// tcpPair returns both sides of a TCP connection on loopback.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return pairOver(t, ln).(*net.TCPConn), accepted(t, ln).(*net.TCPConn)
}

func pairOver(t testing.TB, ln net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func accepted(t testing.TB, ln net.Listener) net.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantEcho writes text into w and wants to read it from r.
func wantEcho(t testing.TB, w io.Writer, r io.Reader, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v; want %q", b, err, text)
	}
}

// must is for what cannot fail unless the test is wrong.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// control calls f with the descriptor of c.
func control(t testing.TB, c syscall.Conn, f func(fd int)) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { f(int(fd)) }); err != nil {
		t.Fatal(err)
	}
}

func isLimit(err error, limit string) bool {
	var l *LimitError
	return errors.As(err, &l) && l.Limit == limit
}
