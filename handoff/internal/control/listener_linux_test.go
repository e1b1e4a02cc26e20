package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestListenMode(t *testing.T) {
	leaktest.Check(t)
	for _, umask := range []int{0, 0o077} {
		old := syscall.Umask(umask)
		defer syscall.Umask(old)
		path := filepath.Join(t.TempDir(), "control")
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
			t.Errorf("umask %#o: the socket's mode is %v (%v), want 0600", umask, info.Mode(), err)
		}
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Close left the path: %v", err)
		}
	}
}

// stale leaves a socket that nobody listens on.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestListenWhatIsThere(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want error
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{"a stale socket", stale, nil},
		{"a live server", func(t *testing.T, path string) {
			l, err := Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, ErrInUse},
		{"a server with a full queue", func(t *testing.T, path string) {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err = errors.Join(err, unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}, ErrInUse},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrInvalid},
		{"a link to a stale socket", func(t *testing.T, path string) {
			stale(t, path+".real")
			if err := os.Symlink(path+".real", path); err != nil {
				t.Fatal(err)
			}
		}, ErrInvalid},
		{"a datagram socket", func(t *testing.T, path string) {
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
		}, ErrInUse},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaktest.Check(t)
			path := filepath.Join(t.TempDir(), "control")
			test.make(t, path)
			before, _ := os.Lstat(path)
			l, err := Listen(path)
			if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), path) {
				t.Fatalf("Listen: %v, want %v with the path", err, test.want)
			}
			if err == nil {
				l.Close()
				return
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
}

func TestListenPath(t *testing.T) {
	leaktest.Check(t)
	for _, path := range []string{"", "control", "@control", "/" + strings.Repeat("a", maxSocketPath)} {
		if _, err := Listen(path); !errors.Is(err, ErrInvalid) {
			t.Errorf("Listen(%q): %v, want ErrInvalid", path, err)
		}
	}
	if _, err := Dial(bounded(t), "/"+strings.Repeat("a", maxSocketPath)); !errors.Is(err, ErrInvalid) {
		t.Errorf("Dial to a path that is too long: %v, want ErrInvalid", err)
	}
	missing := filepath.Join(t.TempDir(), "missing", "control")
	if _, err := Listen(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Listen in a folder that is not there: %v", err)
	}
	if _, err := Dial(bounded(t), missing); !errors.Is(err, ErrNoServer) {
		t.Errorf("Dial there: %v", err)
	}
	socket := filepath.Join(t.TempDir(), "control")
	stale(t, socket)
	if _, err := Dial(bounded(t), socket); !errors.Is(err, ErrNoServer) {
		t.Errorf("Dial to a stale socket: %v", err)
	}
}

// Of many servers that start at once over a stale socket, one gets the path, and
// keeps it.
func TestListenRace(t *testing.T) {
	leaktest.Check(t)
	for range 20 {
		path := filepath.Join(t.TempDir(), "control")
		stale(t, path)
		var won atomic.Pointer[Listener]
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				l, err := Listen(path)
				switch {
				case err == nil && !won.CompareAndSwap(nil, l):
					t.Error("two servers listen")
					l.Close()
				case err != nil && !errors.Is(err, ErrInUse):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		l := won.Load()
		if l == nil {
			t.Fatal("no server listens")
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatalf("the winner's path is not its own: %v", err)
		}
		c.Close()
		l.Close()
	}
}

func TestCloseLeavesAnothersPath(t *testing.T) {
	leaktest.Check(t)
	path := filepath.Join(t.TempDir(), "control")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the second server cannot be reached: %v", err)
	}
	c.Close()
}

func TestFileListener(t *testing.T) {
	leaktest.Check(t)
	path := filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	f.Fd() // what a careless caller does: it makes the description blocking
	// As exec would close it, with the path left in place.
	if err := l.unix.Close(); err != nil {
		t.Fatal(err)
	}
	next, err := FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if next.Path() != path {
		t.Errorf("Path is %q, want %q", next.Path(), path)
	}
	stop := serveOn(t, next, newFake(), Options{})
	if _, err := connect(t, path).Status(bounded(t)); err != nil {
		t.Error(err)
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the path is left: %v", err)
	}
}

func TestFileListenerRefuses(t *testing.T) {
	leaktest.Check(t)
	stream := filepath.Join(t.TempDir(), "stream")
	l, err := net.Listen("unix", stream)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("unix", stream)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	files := []*os.File{null}
	for _, socket := range []interface{ File() (*os.File, error) }{conn.(*net.UnixConn), tcp.(*net.TCPListener)} {
		f, err := socket.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	for _, f := range files {
		if _, err := FileListener(f); !errors.Is(err, ErrInvalid) {
			t.Errorf("FileListener(%s): %v, want ErrInvalid", f.Name(), err)
		}
	}
}
