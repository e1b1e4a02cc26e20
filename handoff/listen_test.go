package handoff

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// plain opens a Service without a manager.
func plain(t *testing.T, o Options) *Service {
	t.Helper()
	leaktest.Check(t)
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRegistration(t *testing.T) {
	s := plain(t, Options{})
	serve := func(context.Context, net.Conn, []byte) ([]byte, error) { return nil, nil }
	state := State{
		Save: func(context.Context) ([]byte, error) { return nil, nil },
		Load: func(context.Context, uint32, []byte) error { return nil },
	}
	ln, err := s.Listen("a", "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ListenPacket("a", "udp", "127.0.0.1:0"); err != nil {
		t.Errorf("a packet socket may have the name of a listener: %v", err)
	}
	if _, err := s.Carry("a", serve); err != nil {
		t.Fatal(err)
	}
	if err := s.State("a", state); err != nil {
		t.Fatal(err)
	}
	listen := func(name, address string) error {
		_, err := s.Listen(name, "tcp", address)
		return err
	}
	carry := func(name string, f ConnFunc) error {
		_, err := s.Carry(name, f)
		return err
	}
	packet := func(name string) error {
		_, err := s.ListenPacket(name, "udp", "127.0.0.1:0")
		return err
	}
	for _, c := range []struct {
		what string
		err  error
		want error // nil: any
		text string
	}{
		{"a second listener", listen("a", "127.0.0.1:0"), ErrDuplicate, `"a"`},
		{"a second packet socket", packet("a"), ErrDuplicate, `"a"`},
		{"a second carrier", carry("a", serve), ErrDuplicate, `"a"`},
		{"a second state", s.State("a", state), ErrDuplicate, `"a"`},
		{"a listener without a name", listen("", "127.0.0.1:0"), nil, "1 to"},
		{"a long name", listen(strings.Repeat("n", 255), "127.0.0.1:0"), nil, "1 to"},
		{"a name with a colon", listen("a:b", "127.0.0.1:0"), nil, "a:b"},
		{"a listener that must be inherited", listen("b", ""), activation.ErrNotActivated, `"b"`},
		{"an address in use", listen("c", ln.Addr().String()), nil, ln.Addr().String()},
		{"a carrier without a function", carry("b", nil), nil, "function"},
		{"a state without Save", s.State("b", State{}), nil, "Save"},
		{"TLS without a certificate", s.ServeTLS(ln, &http.Server{}), nil, "Certificates"},
	} {
		if c.err == nil || c.want != nil && !errors.Is(c.err, c.want) || !strings.Contains(c.err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %s", c.what, c.err, c.want, c.text)
		}
	}

	s.Stop()
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"Run":          s.Run(t.Context()),
		"Listen":       listen("z", "127.0.0.1:0"),
		"ListenPacket": packet("z"),
		"Carry":        carry("z", serve),
		"State":        s.State("z", state),
		"Serve":        s.Serve(ln, &http.Server{}),
		"Go":           s.Go(func(context.Context) error { return nil }),
		"OnReload":     s.OnReload(func(context.Context) error { return nil }),
	} {
		if !errors.Is(err, ErrRunning) {
			t.Errorf("%s after Run: %v", what, err)
		}
	}
}

// TestServedTwice: a listener has one server, whatever the second one is. Another
// listener of the first server is none of that, and one that was closed takes nothing.
func TestServedTwice(t *testing.T) {
	s := plain(t, Options{})
	ln, other := listening(t, s, "a"), listening(t, s, "b")
	srv := &http.Server{}
	if err := errors.Join(s.Serve(ln, srv), s.Serve(other, srv)); err != nil {
		t.Fatal(err)
	}
	k, err := s.Carry("k", func(context.Context, net.Conn, []byte) ([]byte, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	secure := &http.Server{TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }}}
	for what, err := range map[string]error{
		"Serve again":      s.Serve(ln, srv),
		"another":          s.Serve(other, &http.Server{}),
		"one of their own": s.Serve(ln, brokenServer{}),
		"ServeTLS":         s.ServeTLS(ln, secure),
		"Carrier.Serve":    k.Serve(other),
	} {
		if !errors.Is(err, ErrServed) || !strings.Contains(err.Error(), "127.0.0.1:") {
			t.Errorf("%s: %v, want %v", what, err, ErrServed)
		}
	}
	// What cannot be compared is whoever's it is.
	unknown := struct {
		net.Listener
		_ []int
	}{Listener: ln}
	if err := s.Serve(unknown, &http.Server{}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, ErrRunning) || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Run after Close: %v", err)
	}
}

// TestStaleUnixSocket: what a crashed generation has left at a path is replaced,
// what is in use is not.
func TestStaleUnixSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Unix sockets are other things there")
	}
	dir, err := os.MkdirTemp("", "handoff")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s := plain(t, Options{})
	stale := filepath.Join(dir, "stale")
	ln, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if _, err := s.Listen("stale", "unix", stale); err != nil {
		t.Error(err)
	}
	if _, err := s.Listen("live", "unix", stale); err == nil {
		t.Error("a path in use was replaced")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen("file", "unix", file); err == nil {
		t.Error("a file was replaced")
	}
}
