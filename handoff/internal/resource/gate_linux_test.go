package resource

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// comingBack is out of the rotation until the first look, and back after it.
type comingBack struct {
	returns uint64
	looked  bool
}

func (m *comingBack) Returns() uint64 { return m.returns }

func (m *comingBack) Returning() <-chan struct{} {
	m.looked = true
	return nil
}

// A shutListener fails the first time to accept, as one that was shut and came back
// before whoever accepts could look.
type shutListener struct {
	net.Listener
	rotation *comingBack
	shut     bool
}

func (ln *shutListener) Accept() (net.Conn, error) {
	if !ln.shut {
		ln.shut = true
		ln.rotation.returns++
		return nil, syscall.EINVAL
	}
	return ln.Listener.Accept()
}

// TestRejoinAtOnce: a service that comes back right after it has left goes on
// accepting, and ends only where the listener fails for another reason.
func TestRejoinAtOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	m := new(comingBack)
	g := newGate(m, &shutListener{Listener: ln, rotation: m}, "http", false)
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
	if !m.looked {
		t.Error("the listener was never shut")
	}

	broken := newGate(m, brokenListener{g.Listener}, "http", false)
	if _, err := broken.Accept(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("the error is %v", err)
	}
}

type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, syscall.EINVAL }
