package keepalive

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

type hookKey string

// TestHooks calls the owner's hooks as a bare server does: with the connections
// and listeners that he knows.
func TestHooks(t *testing.T) {
	leaktest.Check(t)
	var mu sync.Mutex
	var events []string
	bases := 0
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, s)
	}
	ln := listen(t, "tcp")
	defer ln.Close()
	server := func(name string) *http.Server {
		return &http.Server{
			BaseContext: func(l net.Listener) context.Context {
				if l != ln {
					t.Errorf("%s: BaseContext was called with %T %v", name, l, l)
				}
				mu.Lock()
				bases++
				mu.Unlock()
				return context.WithValue(context.Background(), hookKey("base"), name)
			},
			ConnContext: func(ctx context.Context, c net.Conn) context.Context {
				if _, ok := c.(*net.TCPConn); !ok {
					t.Errorf("%s: ConnContext was called with a %T", name, c)
				}
				return context.WithValue(ctx, hookKey("conn"), c.RemoteAddr().String())
			},
			ConnState: func(c net.Conn, s http.ConnState) {
				if _, ok := c.(*net.TCPConn); !ok {
					t.Errorf("%s: ConnState was called with a %T", name, c)
				}
				note(name + " " + s.String())
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if base := r.Context().Value(hookKey("base")); base != name {
					t.Errorf("%s: base context %v", name, base)
				}
				if addr := r.Context().Value(hookKey("conn")); addr != r.RemoteAddr {
					t.Errorf("%s: connection context %v, remote address %v", name, addr, r.RemoteAddr)
				}
				if addr := r.Context().Value(http.LocalAddrContextKey).(net.Addr); addr.String() != ln.Addr().String() {
					t.Errorf("%s: local address %v, want %v", name, addr, ln.Addr())
				}
				io.WriteString(w, r.RemoteAddr)
			}),
		}
	}
	old := start(t, ln, server("old"), Options{})
	next := New(server("new"), Options{IdleGrace: -1})
	p := dial(t, ln.Addr())
	defer p.Close()
	p.send(get)
	p.want(p.LocalAddr().String(), false)
	if err := old.Drain(drainContext(t), adoptBy(next)); err != nil {
		t.Fatal(err)
	}
	p.send(get)
	p.want(p.LocalAddr().String(), false)
	if err := next.Drain(drainContext(t), nil); err != nil {
		t.Fatal(err)
	}
	p.wantEOF()
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"old", "new"} {
		var got []string
		for _, e := range events {
			if s, ok := strings.CutPrefix(e, name+" "); ok {
				got = append(got, s)
			}
		}
		if want := []string{"new", "active", "idle", "closed"}; !slices.Equal(got, want) {
			t.Errorf("%s: states %v, want %v", name, got, want)
		}
	}
	if bases != 2 {
		t.Errorf("BaseContext was called %d times, want once for each server", bases)
	}
}

// TestSeveralListeners serves two listeners by one server; what it adopts belongs
// to the one that it came by.
func TestSeveralListeners(t *testing.T) {
	leaktest.Check(t)
	server := func() *http.Server {
		return &http.Server{
			BaseContext: func(l net.Listener) context.Context {
				return context.WithValue(context.Background(), hookKey("base"), l.Addr().Network())
			},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, r.Context().Value(hookKey("base")).(string))
			}),
		}
	}
	lns := []net.Listener{listen(t, "tcp"), listen(t, "unix")}
	old, next := New(server(), Options{}), New(server(), Options{IdleGrace: -1})
	var peers []*peer
	for _, ln := range lns {
		serve(t, old, ln)
		p := dial(t, ln.Addr())
		defer p.Close()
		p.send(get)
		p.want(ln.Addr().Network(), false)
		peers = append(peers, p)
	}
	if err := old.Drain(drainContext(t), adoptBy(next)); err != nil {
		t.Fatal(err)
	}
	for i, p := range peers {
		p.send(get)
		p.want(lns[i].Addr().Network(), false)
	}
	if err := next.Drain(drainContext(t), nil); err != nil {
		t.Fatal(err)
	}
}

// TestHijack leaves a connection to the handler that takes it, with what the
// client has sent ahead; a drain does not wait for it.
func TestHijack(t *testing.T) {
	leaktest.Check(t)
	type taken struct {
		conn net.Conn
		buf  *bufio.ReadWriter
	}
	hijacked := make(chan taken, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		hijacked <- taken{c, buf}
	})}
	ln := listen(t, "tcp")
	tr := start(t, ln, srv, Options{})
	p := dial(t, ln.Addr())
	defer p.Close()
	p.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nahead")
	h := <-hijacked
	defer h.conn.Close()
	if h.buf.Reader.Buffered() == 0 {
		t.Error("the hijacker cannot see that the client has sent something ahead")
	}
	if err := tr.Drain(drainContext(t), func(Carried) error { t.Error("taken"); return nil }); err != nil {
		t.Fatal(err)
	}
	if c := tr.Counts(); c.Hijacked != 1 || c.Live != 0 || c.Finished != 0 {
		t.Errorf("%+v, want one hijacked", c)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(h.buf, b); err != nil || string(b) != "ahead" {
		t.Errorf("got %q, %v, want what was sent ahead", b, err)
	}
	p.send("behind")
	b = make([]byte, 6)
	if _, err := io.ReadFull(h.conn, b); err != nil || string(b) != "behind" {
		t.Errorf("got %q, %v, want what was sent behind", b, err)
	}
	io.WriteString(h.conn, "answer\n")
	if s, err := p.r.ReadString('\n'); err != nil || s != "answer\n" {
		t.Errorf("got %q, %v", s, err)
	}
	if _, ok := h.conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn); !ok {
		t.Error("the connection below cannot be reached")
	}
}

// TestUpgradeWhileDraining leaves the Connection header to who upgrades.
func TestUpgradeWhileDraining(t *testing.T) {
	leaktest.Check(t)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, w.Header().Get("Connection"))
	})}
	ln := listen(t, "tcp")
	tr := start(t, ln, srv, Options{IdleGrace: poll.Patience})
	p := dial(t, ln.Addr())
	defer p.Close()
	poll.Until(t, "the connection", func() bool { return tr.Counts().Live == 1 })
	done := background(t, drainContext(t), tr, nil)
	p.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	p.want("", false)
	p.send(get)
	p.want("close", true)
	p.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestHijackedWriteTo copies from a hijacked connection what was held first.
func TestHijackedWriteTo(t *testing.T) {
	leaktest.Check(t)
	done := make(chan string, 1)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		defer c.Close()
		var all strings.Builder
		io.CopyN(&all, buf, int64(buf.Reader.Buffered()))
		io.Copy(&all, c)
		done <- all.String()
	})}
	ln := listen(t, "tcp")
	start(t, ln, srv, Options{})
	p := dial(t, ln.Addr())
	defer p.Close()
	p.send(get + "ahead ")
	p.send("and behind")
	p.Conn.(*net.TCPConn).CloseWrite()
	if got := <-done; got != "ahead and behind" {
		t.Errorf("got %q", got)
	}
}

// A sender counts how often it is given a file to send.
type sender struct {
	*net.TCPConn
	mu    sync.Mutex
	files int
	bytes int64
}

func (s *sender) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.TCPConn.ReadFrom(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if lr, ok := r.(*io.LimitedReader); ok {
		r = lr.R
	}
	if _, ok := r.(*os.File); ok {
		s.files++
		s.bytes += n
	}
	return n, err
}

type senders struct {
	net.Listener
	accepted chan *sender
}

func (l senders) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := &sender{TCPConn: c.(*net.TCPConn)}
	l.accepted <- s
	return s, nil
}

// TestSendfile has files reach the connection as files, so that the kernel can
// send them.
func TestSendfile(t *testing.T) {
	leaktest.Check(t)
	content := strings.Repeat("0123456789abcdef", 1<<14)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	ln := senders{listen(t, "tcp"), make(chan *sender, 1)}
	start(t, ln, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, name)
	})}, Options{})
	p := dial(t, ln.Addr())
	defer p.Close()
	for range 2 {
		p.send(get)
		p.want(content, false)
	}
	s := <-ln.accepted
	poll.Until(t, "the connection to be given two files", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.files == 2 && s.bytes > int64(len(content))
	})
}
