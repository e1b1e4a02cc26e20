package parcel

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// through carries c through a parcel, closes the writer's copy, and returns the
// item.
func through(t testing.TB, c syscall.Conn) *Item {
	t.Helper()
	ctx := within(t)
	w, f := newParcel(t, WriterOptions{})
	err := errors.Join(w.Put(ctx, Entry{Kind: "conn", Descriptors: []syscall.Conn{c}}), w.Close(ctx), c.(io.Closer).Close())
	if err != nil {
		t.Fatal(err)
	}
	items, err := receiveAll(t, newReader(t, f))
	if len(items) != 1 || err != io.EOF {
		t.Fatalf("%d entries, %v", len(items), err)
	}
	return items[0]
}

// unixPair returns both sides of a Unix stream connection.
func unixPair(t testing.TB) (client, server *net.UnixConn) {
	t.Helper()
	ln := must(net.Listen("unix", filepath.Join(t.TempDir(), "socket")))
	defer ln.Close()
	return pairOver(t, ln).(*net.UnixConn), accepted(t, ln).(*net.UnixConn)
}

func connOf(t testing.TB, server syscall.Conn) *Conn {
	t.Helper()
	c := must(through(t, server).Conn(0))
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConn(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			leaktest.Check(t)
			var client net.Conn
			var server syscall.Conn
			if network == "tcp" {
				client, server = tcpPair(t)
			} else {
				client, server = unixPair(t)
			}
			local, remote := server.(net.Conn).LocalAddr(), server.(net.Conn).RemoteAddr()
			c := connOf(t, server)
			if c.LocalAddr().String() != local.String() || c.RemoteAddr().String() != remote.String() || c.LocalAddr().Network() != network {
				t.Errorf("addresses %v and %v, want %v and %v", c.LocalAddr(), c.RemoteAddr(), local, remote)
			}
			wantEcho(t, client, c, "to the server")
			wantEcho(t, c, client, "to the client")

			c.SetReadDeadline(time.Now().Add(-time.Second))
			_, err := c.Read(make([]byte, 1))
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read after the deadline: %v", err)
			}
			var op *net.OpError
			if !errors.As(err, &op) || op.Net != network || op.Op != "read" {
				t.Errorf("the error is %#v", err)
			}
			c.SetReadDeadline(time.Time{})

			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the client read %d, %v, want the end", n, err)
			}
			client.Close()
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("Read: %d, %v, want the end", n, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			for what, err := range map[string]error{
				"Read": second(c.Read(nil)), "Write": second(c.Write([]byte("x"))), "Close": c.Close(),
				"SetDeadline": c.SetDeadline(time.Now()), "CloseRead": c.CloseRead(),
			} {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("%s after Close: %v", what, err)
				}
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

// TestConnUnused closes a connection that was never used.
func TestConnUnused(t *testing.T) {
	leaktest.Check(t)
	client, server := tcpPair(t)
	c := connOf(t, server)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the client read %d, %v", n, err)
	}
	if a := c.RemoteAddr(); a == nil {
		t.Error("no address")
	}
}

// TestConnWakes closes a connection under a Read that waits.
func TestConnWakes(t *testing.T) {
	leaktest.Check(t)
	_, server := tcpPair(t)
	c := connOf(t, server)
	end := make(chan error, 1)
	go func() { end <- second(c.Read(make([]byte, 1))) }()
	c.Close()
	if err := <-end; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
}

// TestConnIsNoStream adopts what is no stream socket.
func TestConnIsNoStream(t *testing.T) {
	leaktest.Check(t)
	_, w0 := pipe(t)
	packets := must(net.ListenPacket("udp", "127.0.0.1:0"))
	for _, d := range []syscall.Conn{w0, packets.(syscall.Conn)} {
		if _, err := connOf(t, d).Write([]byte("x")); err == nil {
			t.Errorf("a %T serves as a connection", d)
		}
	}
}

// TestReadFrom sends files, parts of files, and what is no file.
func TestReadFrom(t *testing.T) {
	leaktest.Check(t)
	text := bytes.Repeat([]byte("0123456789"), 1<<18)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	file := must(os.Open(name))
	defer file.Close()
	limited := &io.LimitedReader{R: file, N: 1000}
	for _, c := range []struct {
		name string
		r    io.Reader
		want []byte
	}{
		{"a part", limited, text[:1000]},
		{"the rest", file, text[1000:]},
		{"nothing more", file, nil},
		{"no file", bytes.NewReader(text[:5000]), text[:5000]},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, server := tcpPair(t)
			conn := connOf(t, server)
			got := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(client)
				got <- b
			}()
			n, err := conn.ReadFrom(c.r)
			if n != int64(len(c.want)) || err != nil {
				t.Errorf("ReadFrom: %d, %v, want %d", n, err, len(c.want))
			}
			conn.Close()
			if b := <-got; !bytes.Equal(b, c.want) {
				t.Errorf("%d bytes arrived, want %d", len(b), len(c.want))
			}
		})
	}
	if limited.N != 0 {
		t.Errorf("%d left of the limit", limited.N)
	}
	_, server := tcpPair(t)
	conn := connOf(t, server)
	conn.SetWriteDeadline(time.Now().Add(-time.Second))
	file.Seek(0, io.SeekStart)
	if n, err := conn.ReadFrom(file); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("ReadFrom after the deadline: %d, %v", n, err)
	}
	conn.Close()
	if _, err := conn.ReadFrom(file); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadFrom after Close: %v", err)
	}
}

// TestNetConnKeepsOptions has options of which net.FileConn turns some on.
func TestNetConnKeepsOptions(t *testing.T) {
	leaktest.Check(t)
	for _, want := range []optionSet{
		{0, 0, 77, 7, 3},
		{1, 0, 15, 15, 9},
		{0, 1, 7200, 75, 9},
		fileConnOptions(),
	} {
		_, server := tcpPair(t)
		control(t, server, func(fd int) {
			for i, o := range tcpOptions {
				if err := unix.SetsockoptInt(fd, o.level, o.name, want[i]); err != nil {
					t.Fatal(err)
				}
			}
		})
		c := must(through(t, server).NetConn(0))
		if _, ok := c.(*net.TCPConn); !ok {
			t.Fatalf("a %T", c)
		}
		control(t, c.(syscall.Conn), func(fd int) {
			if got := readOptions(fd); got != want {
				t.Errorf("options are %v, want %v", got, want)
			}
			flags := must(unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0))
			if flags&unix.O_NONBLOCK == 0 {
				t.Error("the connection is blocking")
			}
		})
		c.Close()
	}
}

// TestNetConnTypes makes of each socket what package net makes of it.
func TestNetConnTypes(t *testing.T) {
	leaktest.Check(t)
	client, server := unixPair(t)
	c := must(through(t, server).NetConn(0))
	defer c.Close()
	wantEcho(t, client, c, "over unix")
	if _, ok := c.(*net.UnixConn); !ok {
		t.Errorf("a %T", c)
	}
	u := must(through(t, must(net.ListenPacket("udp", "127.0.0.1:0")).(syscall.Conn)).NetConn(0))
	defer u.Close()
	if _, ok := u.(*net.UDPConn); !ok {
		t.Errorf("a %T", u)
	}
	_, w0 := pipe(t)
	it := through(t, w0)
	if _, err := it.NetConn(0); err == nil {
		t.Error("a pipe became a connection")
	}
	f, err := it.File(0) // it stayed in the item
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestConnForwarded carries an adopted connection on.
func TestConnForwarded(t *testing.T) {
	leaktest.Check(t)
	client, server := tcpPair(t)
	c := connOf(t, connOf(t, server))
	wantEcho(t, client, c, "twice carried")
	rc := must(c.SyscallConn())
	if err := rc.Control(func(uintptr) {}); err != nil {
		t.Error(err)
	}
}
