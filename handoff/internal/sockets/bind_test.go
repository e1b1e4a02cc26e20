package sockets

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestStale: the socket that a crashed process has left at a path is replaced, one that
// is in use is not, nor is a file.
func TestStale(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Unix sockets are other things there")
	}
	dir, err := os.MkdirTemp("", "sockets") // t.TempDir's path may be too long
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for network, bind := range map[string]func(path string) (io.Closer, error){
		"unix": func(path string) (io.Closer, error) {
			ln, err := Listen(t.Context(), "unix", path)
			if err == nil {
				ln.(*net.UnixListener).SetUnlinkOnClose(false)
			}
			return ln, err
		},
		"unixgram": func(path string) (io.Closer, error) {
			return ListenPacket(t.Context(), "unixgram", path)
		},
	} {
		path := filepath.Join(dir, network)
		first, err := bind(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bind(path); err == nil {
			t.Errorf("%s: a socket in use was replaced", network)
		}
		first.Close()
		if _, err := os.Lstat(path); err != nil {
			t.Fatalf("%s: nothing stale is there: %v", network, err)
		}
		second, err := bind(path)
		if err != nil {
			t.Errorf("%s: a stale socket is in the way: %v", network, err)
		} else {
			defer second.Close()
		}
		if _, err := bind(file); err == nil {
			t.Errorf("%s: a file was replaced", network)
		}
	}
}
