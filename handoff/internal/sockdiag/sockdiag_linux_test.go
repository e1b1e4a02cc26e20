package sockdiag

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

type socket interface{ File() (*os.File, error) }

// inodeOf returns the inode of a socket of package net.
func inodeOf(t *testing.T, s any) uint32 {
	t.Helper()
	f, err := s.(socket).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return uint32(st.Ino)
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTCP(t *testing.T) {
	for _, c := range []struct{ name, network, listen, dial string }{
		{"IPv4", "tcp4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv6", "tcp6", "[::1]:0", "::1"},
		{"IPv4 to a listener for both", "tcp", ":0", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln := listen(t, c.network, c.listen)
			port := ln.Addr().(*net.TCPAddr).AddrPort().Port()
			server := netip.AddrPortFrom(netip.MustParseAddr(c.dial), port)
			client := dial(t, "tcp", server.String())
			from := unmap(client.LocalAddr().(*net.TCPAddr).AddrPort())

			s, err := Connection(server, from)
			if err != nil || s.Inode != 0 || s.State != Established || s.Local != server || s.Remote != from {
				t.Errorf("before it is accepted: %+v, %v", s, err)
			}
			accepted, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer accepted.Close()
			want := TCP{Local: server, Remote: from, State: Established, Inode: inodeOf(t, accepted)}
			if s, err := Connection(server, from); err != nil || s != want {
				t.Errorf("got %+v, %v\nwant %+v", s, err, want)
			}
			if list, err := Sockets(port, Established, CloseWait); err != nil || !slices.Equal(list, []TCP{want}) {
				t.Errorf("connections: got %+v, %v\nwant %+v", list, err, want)
			}
			list, err := Sockets(0, Listen)
			if err != nil || !slices.ContainsFunc(list, func(s TCP) bool { return s.Local.Port() == port && s.Inode == inodeOf(t, ln) }) {
				t.Errorf("the listener is not among %+v, %v", list, err)
			}
			gone := netip.AddrPortFrom(from.Addr(), 1) // the kernel answers with the listener
			if s, err := Connection(server, gone); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a connection that is not there: %+v, %v", s, err)
			}
		})
	}
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	ln := listen(t, "unix", path)
	first, second := dial(t, "unix", path), dial(t, "unix", path)
	listener := inodeOf(t, ln)
	s, err := UnixSocket(listener)
	if err != nil || s.Queue != 2 || s.QueueLimit < 2 || !slices.Equal(s.Waiting, []uint32{inodeOf(t, first), inodeOf(t, second)}) {
		t.Errorf("with two clients that wait: %+v, %v", s, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || uint32(st.Ino) != s.File {
		t.Errorf("it is bound to the file %d, not %d (%v)", s.File, st.Ino, err)
	}
	if s, err := UnixSocket(inodeOf(t, first)); err != nil || s.Peer != 0 {
		t.Errorf("before it is accepted: %+v, %v", s, err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if s, err := UnixSocket(inodeOf(t, accepted)); err != nil || s.Name != path {
		t.Errorf("the accepted socket is %+v, %v; want the name %s", s, err, path)
	}
	if s, err := UnixSocket(inodeOf(t, first)); err != nil || s.Peer != inodeOf(t, accepted) {
		t.Errorf("accepted: %+v, %v; want the peer %d", s, err, inodeOf(t, accepted))
	}
	if s, err := UnixSocket(listener); err != nil || !slices.Equal(s.Waiting, []uint32{inodeOf(t, second)}) {
		t.Errorf("with one client that waits: %+v, %v", s, err)
	}
	if _, err := UnixSocket(1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a socket that is not there: %v", err)
	}
}

// TestLeadsTo: a path that was removed, or that is another socket's now, does not lead
// to the listener any more, and a hard link to it and a symbolic one do.
func TestLeadsTo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "socket")
	ln := listen(t, "unix", path).(*net.UnixListener)
	ln.SetUnlinkOnClose(false)
	inode := inodeOf(t, ln)
	check := func(what, path string, want bool) {
		t.Helper()
		if got, err := LeadsTo(path, inode); got != want || err != nil {
			t.Errorf("%s: got %v, %v; want %v", what, got, err, want)
		}
	}
	check("its own path", path, true)
	for name, link := range map[string]func(from, to string) error{"hard": os.Link, "symbolic": os.Symlink} {
		if err := link(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		check(name, filepath.Join(dir, name), true)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("removed", path, false)
	check("the hard link to what was removed", filepath.Join(dir, "hard"), true)
	listen(t, "unix", path)
	check("another's", path, false)
	if _, err := LeadsTo(path, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a socket that is not there: %v", err)
	}
}

// TestUnixMany: a queue whose clients are too many to list has a length.
func TestUnixMany(t *testing.T) {
	const clients = 2500
	path := filepath.Join(t.TempDir(), "socket")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, clients); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Fatal(err)
	}
	if s, err := UnixSocket(uint32(st.Ino)); err == nil && s.QueueLimit < clients {
		t.Skipf("net.core.somaxconn allows %d clients to wait, want %d", s.QueueLimit, clients)
	}
	for range clients {
		dial(t, "unix", path)
	}
	if s, err := UnixSocket(uint32(st.Ino)); err != nil || s.Queue != clients || s.Waiting != nil {
		t.Errorf("%d of %d, %d listed, %v; want %d", s.Queue, s.QueueLimit, len(s.Waiting), err, clients)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255})
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages(b, func(payload []byte) bool {
			parseTCP(payload)
			parseUnix(payload)
			return true
		})
	})
}
