package keepalive

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// A script is a connection whose client has sent everything beforehand, in
// pieces, and which keeps what it is answered.
type script struct {
	mu     sync.Mutex
	pieces [][]byte
	reads  int
	before func(read int) // called before each Read
	out    bytes.Buffer
	closed chan struct{}
	once   sync.Once
}

func newScript(data, chop []byte) *script {
	return &script{pieces: pieces(data, chop), closed: make(chan struct{})}
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		s.before(s.reads)
	}
	s.reads++
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *script) Close() error                     { s.once.Do(func() { close(s.closed) }); return nil }
func (s *script) LocalAddr() net.Addr              { return scriptAddr{} }
func (s *script) RemoteAddr() net.Addr             { return scriptAddr{} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

type scriptAddr struct{}

func (scriptAddr) Network() string { return "script" }
func (scriptAddr) String() string  { return "client:1" }

var date = regexp.MustCompile(`Date: [^\r]*\r\n`)

// answers returns all that was written, once the connection is closed.
func (s *script) answers() string {
	select {
	case <-s.closed:
	case <-time.After(poll.Patience):
		panic("the server does not close the connection")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return date.ReplaceAllString(s.out.String(), "")
}

// odd answers for servers that are compared.
func odd(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/unread" {
		io.WriteString(w, "unread")
		return
	}
	echo(w, r)
}

func oddServer() *http.Server {
	return &http.Server{
		Handler:        http.HandlerFunc(odd),
		ErrorLog:       log.New(io.Discard, "", 0),
		MaxHeaderBytes: 8 << 10,
	}
}

// A scripted is a server for scripts.
type scripted struct {
	*hub
	t *Tracker
}

// newScripted returns a bare server, or one with a tracker that takes the first
// Read to be of readSize bytes (0: of what it is).
func newScripted(t testing.TB, bare bool, readSize int) *scripted {
	s := &scripted{hub: &hub{addr: scriptAddr{}, conns: make(chan net.Conn)}}
	srv := oddServer()
	serve := srv.Serve
	if !bare {
		s.t = New(srv, Options{})
		s.t.readSize = readSize
		serve = s.t.Serve
	}
	ln, done := s.share(), make(chan error, 1)
	go func() { done <- serve(ln) }()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return s
}

// answers plays data to the server.
func (s *scripted) answers(data, chop []byte) string {
	c := newScript(data, chop)
	s.conns <- c
	return c.answers()
}

// checkServers compares what servers with and without a tracker answer.
func newComparison(t testing.TB) func(t testing.TB, data, chop []byte) {
	bare := newScripted(t, true, 0)
	tracked := newScripted(t, false, 0)
	dirty := newScripted(t, false, 1) // no connection passes the self-check
	return func(t testing.TB, data, chop []byte) {
		t.Helper()
		want := bare.answers(data, chop)
		if got := tracked.answers(data, chop); got != want {
			t.Errorf("%q\n got %q\nwant %q", data, got, want)
		}
		if got := dirty.answers(data, chop); got != want {
			t.Errorf("%q on a connection that is given up\n got %q\nwant %q", data, got, want)
		}
	}
}

func TestOddRequests(t *testing.T) {
	leaktest.Check(t)
	compare := newComparison(t)
	for _, s := range oddRequests {
		for _, chop := range [][]byte{nil, {0}, {2, 40, 7}, {254}} {
			compare(t, []byte(s), chop)
		}
	}
}

func FuzzServers(f *testing.F) {
	for _, s := range oddRequests {
		f.Add([]byte(s), []byte{})
		f.Add([]byte(s), []byte{2, 40, 7})
	}
	compare := newComparison(f)
	f.Fuzz(func(t *testing.T, data, chop []byte) { compare(t, data, chop) })
}

// TestCarryAnywhere carries a connection at any of its Reads, and gets the same
// answers as from one server.
func TestCarryAnywhere(t *testing.T) {
	leaktest.Check(t)
	bare := newScripted(t, true, 0)
	next := newScripted(t, false, 0)
	var idle, partial uint64
	rapid.Check(t, func(rt *rapid.T) {
		data, _ := pipeline(rt)
		chop := chops(rt)
		want := bare.answers(data, chop)

		c := newScript(data, chop)
		old := newScripted(t, false, 0)
		at := rapid.IntRange(0, len(c.pieces)).Draw(rt, "read")
		drained := make(chan error, 1)
		drain := sync.OnceFunc(func() {
			go func() {
				drained <- old.t.Drain(drainContext(t), func(c Carried) error {
					return next.t.Adopt(c.Listener, c.Conn, c.ReadAhead)
				})
			}()
			for old.t.drain.Load() == nil {
				runtime.Gosched()
			}
		})
		c.before = func(read int) {
			if read == at {
				drain()
			}
		}
		old.conns <- c
		got := c.answers()
		drain() // in case so many Reads were not needed
		if err := <-drained; err != nil {
			rt.Fatal(err)
		}
		counts := old.t.Counts()
		idle += counts.Idle
		partial += counts.Partial
		if got != want {
			rt.Fatalf("%q\n got %q\nwant %q", data, got, want)
		}
	})
	if idle == 0 || partial == 0 {
		t.Errorf("taken idle %d, in mid-request %d: want both", idle, partial)
	}
}
