package handoff

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// A shutListener fails the first time to accept, as one that was shut and came back
// before whoever accepts could look.
type shutListener struct {
	net.Listener
	s    *Service
	shut bool
}

func (ln *shutListener) Accept() (net.Conn, error) {
	if !ln.shut {
		ln.shut = true
		ln.s.rotation.back = make(chan struct{})
		if err := ln.s.Rejoin(); err != nil {
			return nil, err
		}
		return nil, syscall.EINVAL
	}
	return ln.Listener.Accept()
}

// TestRejoinAtOnce: a service that comes back right after it has left goes on
// accepting, and ends only where the listener fails for another reason.
func TestRejoinAtOnce(t *testing.T) {
	s := plain(t, Options{})
	g := newGate(s, &shutListener{Listener: listening(t, s, "http"), s: s}, false)
	c, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	accepted.Close()

	broken := newGate(s, brokenListener{g.Listener}, false)
	if _, err := broken.Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("the error is %v", err)
	}
}

type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, syscall.EINVAL }
