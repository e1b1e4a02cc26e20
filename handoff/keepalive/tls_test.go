package keepalive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// certificate returns one for a server, and who trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s.TLS.Certificates[0], pool
}

// protocols is for a server or a client that speaks these only.
func protocols(set ...func(*http.Protocols, bool)) *http.Protocols {
	p := new(http.Protocols)
	for _, s := range set {
		s(p, true)
	}
	return p
}

var (
	http1 = protocols((*http.Protocols).SetHTTP1)
	http2 = protocols((*http.Protocols).SetHTTP2)
	h2c   = protocols((*http.Protocols).SetUnencryptedHTTP2)
)

// httpLoad posts with net/http's own client, without a pause, until stopped.
// Requests that the server may have seen are not repeated by it.
func httpLoad(t *testing.T, url string, p *http.Protocols, roots *x509.CertPool, each int) (count func() int64, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var n atomic.Int64
	for i := range each {
		tr := &http.Transport{Protocols: p, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
		cl := &http.Client{Transport: tr, Timeout: poll.Patience}
		wg.Go(func() {
			defer tr.CloseIdleConnections()
			for ctx.Err() == nil {
				body := fmt.Appendf(nil, "client %d request %d", i, n.Load())
				resp, err := cl.Post(url, "text/plain", bytes.NewReader(body))
				if err != nil {
					t.Errorf("post: %v", err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := answer("POST", "/", body, ""); err != nil || string(b) != want {
					t.Errorf("got %q, %v, want %q", b, err, want)
					return
				}
				n.Add(1)
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return n.Load, stop
}

// TestTLS replaces servers under clients of HTTP/1 and HTTP/2 over TLS, whose
// connections cannot be carried; none fails.
func TestTLS(t *testing.T) {
	for _, tt := range []struct {
		name  string
		proto *http.Protocols
		major int
	}{
		{"http1", http1, 1},
		{"http2", http2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leaktest.Check(t)
			cert, roots := certificate(t)
			h := newHub(t)
			generation := func() *Tracker {
				tr := New(&http.Server{
					TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.ProtoMajor != tt.major || r.TLS == nil {
							t.Errorf("a request by %s, TLS %v", r.Proto, r.TLS != nil)
						}
						echo(w, r)
					}),
				}, Options{IdleGrace: poll.Patience / 2})
				serveTLS(t, tr, h.share())
				return tr
			}
			old := generation()
			count, stop := httpLoad(t, "https://"+h.addr.String()+"/", tt.proto, roots, 4)
			for range 4 {
				want := count() + 20
				poll.Until(t, "requests to be answered", func() bool { return count() >= want || t.Failed() })
				if c := old.Counts(); tt.major == 2 && c.HTTP2 == 0 {
					t.Errorf("%+v, want HTTP/2 connections", c)
				}
				next := generation()
				err := old.Drain(drainContext(t), func(Carried) error {
					t.Error("a TLS connection was taken")
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				c := old.Counts()
				if c.Live != 0 || c.HTTP2 != 0 || c.Cut != 0 || c.Finished == 0 {
					t.Errorf("after the drain: %+v", c)
				}
				old = next
			}
			stop()
			t.Logf("%d requests", count())
			if err := old.Drain(drainContext(t), nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHTTP2LeavesEarly has HTTP/2 clients move on while the drain still waits for
// a request of HTTP/1.
func TestHTTP2LeavesEarly(t *testing.T) {
	leaktest.Check(t)
	cert, roots := certificate(t)
	h := newHub(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	var moved atomic.Int64
	server := func(next bool) *Tracker {
		tr := New(&http.Server{
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.ProtoMajor == 1:
					close(entered)
					<-leave
				case next:
					moved.Add(1)
				}
				echo(w, r)
			}),
		}, Options{IdleGrace: poll.Patience / 2})
		serveTLS(t, tr, h.share())
		return tr
	}
	old := server(false)
	count, stop := httpLoad(t, "https://"+h.addr.String()+"/", http2, roots, 2)
	poll.Until(t, "requests to be answered", func() bool { return count() > 20 || t.Failed() })
	raw := dial(t, h.addr)
	p := &peer{t: t, Conn: tls.Client(raw.Conn, &tls.Config{RootCAs: roots, ServerName: "example.com"})}
	p.r = bufio.NewReader(p.Conn)
	defer p.Close()
	p.send(get)
	<-entered
	next := server(true)
	done := background(t, drainContext(t), old, nil)
	poll.Until(t, "HTTP/2 clients to move on", func() bool {
		c := old.Counts()
		return moved.Load() > 20 && c.HTTP2 == 0 && c.Live == 1
	})
	select {
	case err := <-done:
		t.Fatalf("the drain was over before its last request: %v", err)
	default:
	}
	close(leave)
	p.receive()
	p.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	stop()
	if err := next.Drain(drainContext(t), nil); err != nil {
		t.Error(err)
	}
}

func serveTLS(t *testing.T, tr *Tracker, ln net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- tr.ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		tr.srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("ServeTLS returned %v, want http.ErrServerClosed", err)
		}
	})
}

// TestIdleTLS closes an idle TLS connection after the grace, as TLS says it.
func TestIdleTLS(t *testing.T) {
	leaktest.Check(t)
	cert, roots := certificate(t)
	h := newHub(t)
	srv := named("a")
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	tr := New(srv, Options{IdleGrace: 10 * time.Millisecond})
	serveTLS(t, tr, h.share())
	raw := dial(t, h.addr)
	p := &peer{t: t, Conn: tls.Client(raw.Conn, &tls.Config{RootCAs: roots, ServerName: "example.com"})}
	p.r = bufio.NewReader(p.Conn)
	p.send(get)
	p.want("a ", false)
	if err := tr.Drain(drainContext(t), nil); err != nil {
		t.Fatal(err)
	}
	p.wantEOF() // io.EOF, and not io.ErrUnexpectedEOF
}

// TestPlainHTTP2 leaves HTTP/2 in the clear to net/http, and carries the HTTP/1
// connections of the same server.
func TestPlainHTTP2(t *testing.T) {
	leaktest.Check(t)
	h := newHub(t)
	server := func() *http.Server {
		return &http.Server{
			Protocols: protocols((*http.Protocols).SetHTTP1, (*http.Protocols).SetUnencryptedHTTP2),
			Handler:   http.HandlerFunc(echo),
		}
	}
	old := start(t, h.share(), server(), Options{})
	count, stop := httpLoad(t, "http://"+h.addr.String()+"/", h2c, nil, 2)
	p := dial(t, h.addr)
	defer p.Close()
	for range 3 {
		want := count() + 20
		poll.Until(t, "requests to be answered", func() bool { return count() >= want || t.Failed() })
		p.send(get)
		p.want(answer("GET", "/", nil, ""), false)
		c := old.Counts()
		if c.HTTP2 == 0 || c.Live != 1 {
			t.Errorf("%+v, want one HTTP/1 connection and some HTTP/2", c)
		}
		next := start(t, h.share(), server(), Options{})
		if err := old.Drain(drainContext(t), adoptBy(next)); err != nil {
			t.Fatal(err)
		}
		if c := old.Counts(); c.Idle != 1 || c.Live+c.HTTP2 != 0 || c.Cut != 0 {
			t.Errorf("after the drain: %+v", c)
		}
		old = next
	}
	stop()
	if err := old.Drain(drainContext(t), nil); err != nil {
		t.Error(err)
	}
}

// TestServeOfTLS says what to do with a listener that speaks TLS by itself.
func TestServeOfTLS(t *testing.T) {
	leaktest.Check(t)
	cert, _ := certificate(t)
	ln := tls.NewListener(listen(t, "tcp"), &tls.Config{Certificates: []tls.Certificate{cert}})
	tr := New(named("a"), Options{})
	done := make(chan error, 1)
	go func() { done <- tr.Serve(ln) }()
	p := dial(t, ln.Addr())
	defer p.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "serve the listener below with ServeTLS") {
		t.Errorf("got %v", err)
	}
	if err := tr.Drain(drainContext(t), nil); err != nil {
		t.Error(err)
	}
}
