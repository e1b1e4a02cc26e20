package keepalive

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// TestTaken shows that nothing that net/http does to a connection after it was
// taken reaches it.
func TestTaken(t *testing.T) {
	leaktest.Check(t)
	tr := New(&http.Server{}, Options{})
	client, raw := net.Pipe()
	defer client.Close()
	defer raw.Close()
	c := tr.newConn(nil, raw)
	tr.live[c] = struct{}{}
	var got Carried
	tr.drain.Store(&drain{empty: make(chan struct{}), gone: make(chan struct{}), take: func(given Carried) error {
		if tr.Counts().Live != 1 {
			t.Error("the connection left the live before it was given away")
		}
		got = given
		return nil
	}})
	n, err := c.Read(make([]byte, 4096))
	if !os.IsTimeout(err) || n != 0 || got.Conn != raw {
		t.Fatalf("Read: %d, %v, gave %+v; want a timeout and the connection", n, err, got)
	}
	if tr.Counts().Live != 0 {
		t.Error("the connection is among the live after it was given away")
	}
	for _, s := range []http.ConnState{http.StateActive, http.StateIdle, http.StateActive} {
		tr.srv.ConnState(c, s)
		if _, err := c.Read(make([]byte, 4096)); !os.IsTimeout(err) {
			t.Errorf("Read after %v: %v, want a timeout", s, err)
		}
	}
	if n, err := io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); n != 0 || err == nil {
		t.Errorf("Write: %d, %v, want an error", n, err)
	}
	if n, err := c.ReadFrom(strings.NewReader("x")); n != 0 || err == nil {
		t.Errorf("ReadFrom: %d, %v, want an error", n, err)
	}
	c.SetDeadline(past)
	c.CloseWrite()
	c.Close()
	tr.srv.ConnState(c, http.StateClosed)

	// It is whole for the next server.
	go io.WriteString(client, "ping")
	b := make([]byte, 4)
	if _, err := io.ReadFull(raw, b); err != nil || string(b) != "ping" {
		t.Errorf("read by its next owner: %q, %v", b, err)
	}
	go io.WriteString(raw, "pong")
	if _, err := io.ReadFull(client, b); err != nil || string(b) != "pong" {
		t.Errorf("read by the client: %q, %v", b, err)
	}
	if c := tr.Counts(); c.Finished != 0 {
		t.Errorf("%+v, want none finished", c)
	}
}

// TestWakeUpStands sets a deadline while a Read is being woken: it must not put
// the Read to sleep again.
func TestWakeUpStands(t *testing.T) {
	leaktest.Check(t)
	tr := New(&http.Server{}, Options{IdleGrace: poll.Patience})
	client, raw := net.Pipe()
	defer client.Close()
	defer raw.Close()
	c := tr.newConn(nil, raw)
	c.reading = true // as if a Read waited that has not got the time to wake up
	d := &drain{take: func(Carried) error { return nil }}
	tr.drain.Store(d)
	c.nudge(d)
	c.SetReadDeadline(time.Time{})
	defer time.AfterFunc(poll.Patience, func() { raw.Close() }).Stop()
	if _, err := raw.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Errorf("the Read below: %v, want a timeout", err)
	}

	// What was set meanwhile is in force afterwards.
	c.reading, c.nudged = false, false
	c.foreign, c.phase = true, phaseOpaque // not quiet
	c.SetReadDeadline(time.Time{})
	c.arm(d)
	go io.WriteString(client, "x")
	if _, err := raw.Read(make([]byte, 1)); err != nil {
		t.Errorf("the Read below afterwards: %v", err)
	}
}

// TestLinger has a client send on behind a request that is the last to be
// answered. It must get the answer, and the end, and not a reset.
func TestLinger(t *testing.T) {
	leaktest.Check(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, "the last")
	})}
	ln := listen(t, "tcp")
	tr := start(t, ln, srv, Options{IdleGrace: poll.Patience})
	p := dial(t, ln.Addr())
	defer p.Close()
	poll.Until(t, "the connection", func() bool { return tr.Counts().Live == 1 })
	done := background(t, drainContext(t), tr, nil)
	p.send(get)
	<-entered
	p.send(strings.Repeat(get, 1000))
	close(leave)
	p.want("the last", true)
	p.wantEOF()
	p.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestBackgroundRead admits, behind the end of a message, one Read of one byte
// and nothing else.
func TestBackgroundRead(t *testing.T) {
	for _, p := range []phase{phaseFraming, phaseDone} {
		f := framer{phase: p}
		if n := f.want(1); n != 1 || f.phase != p {
			t.Errorf("phase %d: a Read of 1 byte may ask for %d, phase %d afterwards", p, n, f.phase)
		}
		f.advance([]byte("G"))
		if string(f.head) != "G" || !f.scan.started {
			t.Errorf("phase %d: the byte was not taken for the next request's first: %q", p, f.head)
		}
		if f.want(1); f.phase != phaseOpaque {
			t.Errorf("phase %d: a second Read was admitted", p)
		}
		f = framer{phase: p}
		if f.want(2); f.phase != phaseOpaque {
			t.Errorf("phase %d: a Read of 2 bytes was admitted", p)
		}
	}
}

// TestPipelinedWhileDraining answers what the client has sent already, and says
// with the last of it that there is no more.
func TestPipelinedWhileDraining(t *testing.T) {
	leaktest.Check(t)
	ln := listen(t, "tcp")
	tr := start(t, ln, named("a"), Options{IdleGrace: poll.Patience})
	p := dial(t, ln.Addr())
	defer p.Close()
	poll.Until(t, "the connection", func() bool { return tr.Counts().Live == 1 })
	done := background(t, drainContext(t), tr, nil)
	p.send(get + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" + get)
	p.want("a ", false)
	p.want("a body", false)
	p.want("a ", true)
	p.wantEOF()
	p.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// late is a connection on which a request comes in the moment in which its
// deadline passes.
type late struct {
	*script
	timeouts int
}

func (l *late) Read(p []byte) (int, error) {
	if l.timeouts > 0 {
		l.timeouts--
		return 0, os.ErrDeadlineExceeded
	}
	return l.script.Read(p)
}

// TestLastLook takes a request that came when the grace was just over.
func TestLastLook(t *testing.T) {
	tr := New(&http.Server{}, Options{})
	tr.drain.Store(&drain{})
	c := tr.newConn(nil, &late{newScript([]byte(get), nil), 1})
	b := make([]byte, 4096)
	if n, err := c.Read(b); err != nil || string(b[:n]) != get {
		t.Errorf("got %q, %v, want the request", b[:n], err)
	}
	c = tr.newConn(nil, &late{newScript([]byte(get), nil), 2})
	if n, err := c.Read(b); !os.IsTimeout(err) {
		t.Errorf("got %q, %v, want a timeout after two", b[:n], err)
	}
}
