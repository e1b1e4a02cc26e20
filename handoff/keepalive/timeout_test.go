package keepalive

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A bubble is a server and what it takes to reach it, where time does not pass
// by itself.
type bubble struct {
	t *testing.T
	*hub
	tr *Tracker
}

func newBubble(t *testing.T, srv *http.Server, o Options) *bubble {
	b := &bubble{t: t, hub: &hub{addr: scriptAddr{}, conns: make(chan net.Conn)}}
	b.tr = New(srv, o)
	serve(t, b.tr, b.share())
	return b
}

func (b *bubble) peer(server net.Conn, client net.Conn) *peer {
	b.t.Cleanup(func() { client.Close(); server.Close() })
	return &peer{t: b.t, Conn: client, r: bufio.NewReader(client)}
}

// accept returns the client's end of a connection.
func (b *bubble) accept() *peer {
	client, server := net.Pipe()
	b.conns <- server
	return b.peer(server, client)
}

// adopt returns the client's end of one that is adopted.
func (b *bubble) adopt(readAhead string) *peer {
	client, server := net.Pipe()
	if err := b.tr.Adopt(b.share(), server, []byte(readAhead)); err != nil {
		b.t.Fatal(err)
	}
	return b.peer(server, client)
}

// wantOpenFor checks that the server keeps p open for d, and closes it then.
func wantOpenFor(t *testing.T, p *peer, d time.Duration) {
	t.Helper()
	begin := time.Now()
	p.wantEOF()
	if got := time.Since(begin).Round(10 * time.Millisecond); got != d {
		t.Errorf("open for %v, want %v", got, d)
	}
}

// TestTimeouts has the server's own timeouts in force, on accepted connections
// and on adopted ones.
func TestTimeouts(t *testing.T) {
	server := func() *http.Server {
		s := named("a")
		s.ReadHeaderTimeout = time.Second
		s.ReadTimeout = 5 * time.Second
		s.IdleTimeout = time.Minute
		return s
	}
	const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, b *bubble)
	}{
		{"a new one under ReadHeaderTimeout", func(t *testing.T, b *bubble) {
			wantOpenFor(t, b.accept(), time.Second)
		}},
		{"one that has been idle under IdleTimeout", func(t *testing.T, b *bubble) {
			p := b.accept()
			p.send(get)
			p.want("a ", false)
			wantOpenFor(t, p, time.Minute)
		}},
		{"an adopted one under IdleTimeout", func(t *testing.T, b *bubble) {
			wantOpenFor(t, b.adopt(""), time.Minute)
		}},
		{"an adopted one after a request", func(t *testing.T, b *bubble) {
			p := b.adopt("")
			time.Sleep(30 * time.Second)
			p.send(get)
			p.want("a ", false)
			wantOpenFor(t, p, time.Minute)
		}},
		{"an adopted one under ReadHeaderTimeout from its first byte on", func(t *testing.T, b *bubble) {
			p := b.adopt("")
			time.Sleep(30 * time.Second)
			p.send(get[:16])
			wantOpenFor(t, p, time.Second)
		}},
		{"an adopted one in mid-request under ReadHeaderTimeout", func(t *testing.T, b *bubble) {
			wantOpenFor(t, b.adopt(get[:16]), time.Second)
		}},
		{"an adopted one's body under ReadTimeout from its first byte on", func(t *testing.T, b *bubble) {
			p := b.adopt("")
			time.Sleep(30 * time.Second)
			p.send(post)
			time.Sleep(4 * time.Second)
			p.send("body")
			p.want("a body", false)
		}},
		{"an adopted one's body that comes too late", func(t *testing.T, b *bubble) {
			p := b.adopt("")
			time.Sleep(30 * time.Second)
			p.send(post)
			begin := time.Now()
			p.want("a ", true)
			if got := time.Since(begin).Round(10 * time.Millisecond); got != 5*time.Second {
				t.Errorf("the body was given up after %v, want 5s", got)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.run(t, newBubble(t, server(), Options{})) })
		})
	}
}

// TestGraceInTime shows for how long a drain keeps a connection that it does not
// carry.
func TestGraceInTime(t *testing.T) {
	const grace = 3 * time.Second
	drained := func(b *bubble) <-chan error {
		done := make(chan error, 1)
		go func() { done <- b.tr.Drain(context.Background(), nil) }()
		synctest.Wait()
		return done
	}
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, b *bubble)
	}{
		{"new", func(t *testing.T, b *bubble) {
			p := b.accept()
			done := drained(b)
			wantOpenFor(t, p, grace)
			<-done
		}},
		{"idle", func(t *testing.T, b *bubble) {
			p := b.accept()
			p.send(get)
			p.want("a ", false)
			time.Sleep(time.Minute)
			done := drained(b)
			wantOpenFor(t, p, grace)
			<-done
		}},
		{"a request in time", func(t *testing.T, b *bubble) {
			p := b.accept()
			done := drained(b)
			time.Sleep(grace - time.Millisecond)
			p.send(get)
			p.want("a ", true)
			p.wantEOF()
			<-done
		}},
		{"a request that has begun is waited for", func(t *testing.T, b *bubble) {
			p := b.accept()
			p.send(get[:7])
			done := drained(b)
			time.Sleep(time.Hour)
			p.send(get[7:])
			p.want("a ", true)
			p.wantEOF()
			<-done
		}},
		{"a request that begins meanwhile is waited for", func(t *testing.T, b *bubble) {
			p := b.accept()
			p.send(get)
			p.want("a ", false)
			done := drained(b)
			p.send(get[:7])
			time.Sleep(time.Hour)
			p.send(get[7:])
			p.want("a ", true)
			p.wantEOF()
			<-done
		}},
		{"the grace begins when it goes idle", func(t *testing.T, b *bubble) {
			p := b.accept()
			p.send("POST /hour HTTP/1.1\r\nHost: a\r\n\r\n")
			synctest.Wait()
			done := drained(b)
			p.want("a ", false)
			wantOpenFor(t, p, grace)
			<-done
		}},
		{"the server's own timeout comes first", func(t *testing.T, b *bubble) {
			p := b.accept()
			p.send(get)
			p.want("a ", false)
			time.Sleep(time.Hour - time.Second)
			done := drained(b)
			wantOpenFor(t, p, time.Second)
			<-done
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/hour" {
						time.Sleep(time.Hour)
					}
					io.WriteString(w, "a ")
				}), IdleTimeout: time.Hour}
				tt.run(t, newBubble(t, srv, Options{IdleGrace: grace}))
			})
		})
	}
}
