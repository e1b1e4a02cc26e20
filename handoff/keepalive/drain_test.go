package keepalive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// A peer is a client by hand.
type peer struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dial(t testing.TB, addr net.Addr) *peer {
	t.Helper()
	c, err := net.DialTimeout(addr.Network(), addr.String(), poll.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(poll.Patience))
	return &peer{t, c, bufio.NewReader(c)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatal(err)
	}
}

// receive returns an answer's body and whether it ends the connection.
func (p *peer) receive() (body string, last bool) {
	p.t.Helper()
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatalf("read the answer: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatalf("read the answer's body: %v", err)
	}
	return string(b), resp.Close
}

// want receives an answer and compares.
func (p *peer) want(body string, last bool) {
	p.t.Helper()
	if b, l := p.receive(); b != body || l != last {
		p.t.Errorf("got %q (last: %v), want %q (last: %v)", b, l, body, last)
	}
}

func (p *peer) wantEOF() {
	p.t.Helper()
	if b, err := p.r.ReadByte(); err != io.EOF {
		p.t.Errorf("got %q, %v, want EOF", b, err)
	}
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// named answers with its name and the request's body.
func named(name string) *http.Server {
	return &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", name, b)
	})}
}

func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/s"
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// background starts a drain and returns once connections can see it.
func background(t *testing.T, ctx context.Context, tr *Tracker, take func(Carried) error) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- tr.Drain(ctx, take) }()
	for tr.drain.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	return done
}

func adoptBy(tr *Tracker) func(Carried) error {
	return func(c Carried) error { return tr.Adopt(c.Listener, c.Conn, c.ReadAhead) }
}

// TestStates carries a connection in each state that it can be in.
func TestStates(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
	for _, network := range []string{"tcp", "unix"} {
		for _, tt := range []struct {
			name      string
			answered  string // a request before
			before    string // sent before the connection is taken
			after     string // sent after
			want      string
			readAhead string
		}{
			{name: "new", after: get, want: "new "},
			{name: "new, in the header", before: get[:9], after: get[9:], want: "new ", readAhead: get[:9]},
			{name: "idle", answered: get, after: get, want: "new "},
			{name: "idle, one byte", answered: get, before: "G", after: get[1:], want: "new ", readAhead: "G"},
			{name: "idle, in the request line", answered: post + "abcd", before: "GET", after: get[3:], want: "new ", readAhead: "GET"},
			{name: "idle, in the header", answered: get, before: post[:30], after: post[30:] + "abcd", want: "new abcd", readAhead: post[:30]},
			{name: "line ends after a POST", answered: post + "abcd", before: "\r\n", after: "\r\n" + get, want: "new ", readAhead: "\r\n"},
			{name: "line ends later", answered: post + "abcd", after: "\r\n" + get, want: "new "},
		} {
			t.Run(network+"/"+tt.name, func(t *testing.T) {
				leaktest.Check(t)
				ln := listen(t, network)
				defer ln.Close()
				old := start(t, ln, named("old"), Options{})
				next := New(named("new"), Options{IdleGrace: -1})
				p := dial(t, ln.Addr())
				defer p.Close()
				if tt.answered != "" {
					p.send(tt.answered)
					p.receive()
				}
				p.send(tt.before)
				poll.Until(t, "the connection to read what was sent", func() bool { return seen(old) == tt.before })
				var got Carried
				err := old.Drain(drainContext(t), func(c Carried) error {
					got = c
					return next.Adopt(c.Listener, c.Conn, c.ReadAhead)
				})
				if err != nil {
					t.Fatal(err)
				}
				if got.Conn == nil || string(got.ReadAhead) != tt.readAhead || got.Listener != ln {
					t.Errorf("carried %+v, want %q read ahead, by listener %v", got, tt.readAhead, ln)
				}
				p.send(tt.after)
				p.want(tt.want, false)
				p.send(get)
				p.want("new ", false)
				if err := next.Drain(drainContext(t), nil); err != nil {
					t.Error(err)
				}
				p.wantEOF()
			})
		}
	}
}

// seen is what the only live connection has read of a request.
func seen(tr *Tracker) string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for c := range tr.live {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.reading {
			return string(c.head)
		}
	}
	return "not there"
}

// TestDrainWaitsForHandlers answers a request that has begun, and then carries.
func TestDrainWaitsForHandlers(t *testing.T) {
	leaktest.Check(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, "old")
	})}
	ln := listen(t, "tcp")
	old, next := start(t, ln, srv, Options{}), New(named("new"), Options{IdleGrace: -1})
	p := dial(t, ln.Addr())
	defer p.Close()
	p.send(get + "GET /part")
	<-entered
	done := background(t, drainContext(t), old, adoptBy(next))
	close(leave)
	p.want("old", false)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.send(" HTTP/1.1\r\nHost: a\r\n\r\n")
	p.want("new ", false)
	if c := old.Counts(); c.Partial != 1 {
		t.Errorf("%+v, want one in mid-request", c)
	}
	if err := next.Drain(drainContext(t), nil); err != nil {
		t.Error(err)
	}
}

// TestRefused finishes a connection that take fails for.
func TestRefused(t *testing.T) {
	leaktest.Check(t)
	ln := listen(t, "tcp")
	old := start(t, ln, named("old"), Options{IdleGrace: poll.Patience})
	idle, half := dial(t, ln.Addr()), dial(t, ln.Addr())
	defer idle.Close()
	defer half.Close()
	idle.send(get)
	idle.want("old ", false)
	half.send(get[:5])
	poll.Until(t, "two connections", func() bool { return old.Counts().Live == 2 })
	done := background(t, drainContext(t), old, func(Carried) error { return errors.New("full") })
	poll.Until(t, "two refusals", func() bool { return old.Counts().Refused == 2 })
	idle.send(get)
	idle.want("old ", true)
	idle.wantEOF()
	half.send(get[5:])
	half.want("old ", true)
	half.wantEOF()
	idle.Close()
	half.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := old.Counts(); c.Finished != 2 || c.Idle+c.Partial+c.Cut != 0 {
		t.Errorf("%+v, want 2 finished", c)
	}
}

// TestCut ends a drain whose context ends.
func TestCut(t *testing.T) {
	leaktest.Check(t)
	entered := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})}
	ln := listen(t, "tcp")
	old := start(t, ln, srv, Options{})
	p := dial(t, ln.Addr())
	defer p.Close()
	p.send(get)
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	done := background(t, ctx, old, func(Carried) error { return errors.New("not this one") })
	cancel()
	err := <-done
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "connections cut: 1") {
		t.Errorf("got %v, want one connection cut, context canceled", err)
	}
	poll.Until(t, "the connection to end", func() bool { return old.Counts().Live == 0 })
	if c := old.Counts(); c.Cut != 1 {
		t.Errorf("%+v, want one cut", c)
	}
}

// TestGrace keeps an idle connection for a while, and then closes it.
func TestGrace(t *testing.T) {
	leaktest.Check(t)
	for _, grace := range []time.Duration{-1, time.Millisecond} {
		ln := listen(t, "tcp")
		old := start(t, ln, named("old"), Options{IdleGrace: grace})
		idle, fresh := dial(t, ln.Addr()), dial(t, ln.Addr())
		defer idle.Close()
		defer fresh.Close()
		idle.send(get)
		idle.want("old ", false)
		poll.Until(t, "two connections", func() bool { return old.Counts().Live == 2 })
		if err := old.Drain(drainContext(t), nil); err != nil {
			t.Fatal(err)
		}
		idle.wantEOF()
		fresh.wantEOF()
	}
}

// TestAfterDrain refuses what comes later.
func TestAfterDrain(t *testing.T) {
	leaktest.Check(t)
	ln := listen(t, "tcp")
	defer ln.Close()
	tr := New(named("a"), Options{})
	if err := tr.Drain(drainContext(t), nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.Drain(drainContext(t), nil); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("second Drain: %v", err)
	}
	if err := tr.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := tr.Adopt(ln, a, nil); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Adopt: %v", err)
	}
	if err := New(named("c"), Options{}).Adopt(nil, a, nil); err == nil || !strings.Contains(err.Error(), "no listener") {
		t.Errorf("Adopt without a listener: %v", err)
	}
	closed := New(named("b"), Options{})
	closed.srv.Close()
	if err := closed.Adopt(ln, a, nil); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Adopt by a closed server: %v", err)
	}
}

// TestHandlerReplaced says so, since nothing could be carried.
func TestHandlerReplaced(t *testing.T) {
	srv := named("a")
	tr := New(srv, Options{})
	srv.Handler = http.NotFoundHandler()
	if err := tr.Serve(listen(t, "tcp")); err == nil || !strings.Contains(err.Error(), "Handler was replaced") {
		t.Errorf("got %v", err)
	}
}
