package activation

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestListenInherited(t *testing.T) {
	leaktest.Check(t)
	s := inherit(t, []string{"http"}, tcpListener(t))
	if l, err := s.Listen(t.Context(), "https", "tcp", "127.0.0.1:0"); !errors.Is(err, ErrNoName) {
		if err == nil {
			l.Close()
		}
		t.Errorf("a socket was opened beside the manager's: %v", err)
	}
	l, err := s.Listen(t.Context(), "http", "tcp", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	echo(t, l)
	if _, err := s.Listen(t.Context(), "http", "tcp", "127.0.0.1:0"); !errors.Is(err, ErrTaken) {
		t.Errorf("taken twice: %v", err)
	}
}

func TestListenFreshUnix(t *testing.T) {
	leaktest.Check(t)
	path := filepath.Join(t.TempDir(), "s")
	var s Set

	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(t.Context(), "s", "unix", path); err == nil {
		t.Fatal("the socket of a process that lives was replaced")
	}
	left.SetUnlinkOnClose(false)
	left.Close()

	l, err := s.Listen(t.Context(), "s", "unix", path)
	if err != nil {
		t.Fatalf("a stale socket file is in the way: %v", err)
	}
	echo(t, l)
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a fresh listener left its path: %v", err)
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(t.Context(), "s", "unix", path); err == nil {
		t.Error("bound over a file")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file is %q, %v", text, err)
	}
}
