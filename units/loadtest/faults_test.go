package loadtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

const whole = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"

// peer is the server's end of one connection, as a script in a test sees it.
type peer struct {
	*net.TCPConn
	in *bufio.Reader
}

// request reads one request; the error is that there is none.
func (p *peer) request() error {
	r, err := http.ReadRequest(p.in)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

func (p *peer) say(s string) { _, _ = io.WriteString(p, s) }

// reset makes the close of the connection a reset.
func (p *peer) reset() { _ = p.SetLinger(0) }

// serve runs script on each connection to an address of its own, and closes the
// connection at the end of it.
func serve(t *testing.T, script func(*peer)) string {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var scripts sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); scripts.Wait() })
	scripts.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			scripts.Go(func() {
				p := &peer{c.(*net.TCPConn), bufio.NewReader(c)}
				script(p)
				_ = p.Close()
			})
		}
	})
	return "http://" + ln.Addr().String() + "/"
}

// A fault is what a server does instead of answering a request it has read.
type fault struct {
	name string
	do   func(*peer)
	want Class
	text string // in the failure
}

// never waits until the client has gone.
func never(p *peer) { _, _ = p.in.ReadByte() }

const otherBytes = "sends other bytes"

var faults = []fault{
	{"closes before the answer", func(p *peer) {}, Cut, "header of the answer, after 0 bytes: EOF"},
	{"closes within the status line", func(p *peer) { p.say("HTTP/1.1 2") }, Cut, "after 10 bytes"},
	{"closes within the header", func(p *peer) { p.say("HTTP/1.1 200 OK\r\nContent-Le") }, Cut, "header"},
	{"closes within the body", func(p *peer) { p.say(strings.TrimSuffix(whole, "lo\n")) }, Cut, "body"},
	{"closes before the body", func(p *peer) { p.say(strings.TrimSuffix(whole, "hello\n")) }, Cut, "body"},
	{"closes within a chunk", func(p *peer) {
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhel")
	}, Cut, "body"},
	{"closes between chunks", func(p *peer) {
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n")
	}, Cut, "body"},
	{"closes before the last line", func(p *peer) {
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello\n\r\n0\r\n")
	}, Cut, "body"},
	{"resets before the answer", func(p *peer) { p.reset() }, Reset, "connection reset by peer"},
	{"resets within the body", func(p *peer) {
		p.say(strings.TrimSuffix(whole, "lo\n"))
		p.reset()
	}, Reset, "connection reset by peer"},
	{"resets a body that ends with the connection", func(p *peer) {
		p.say("HTTP/1.0 200 OK\r\n\r\nhel")
		p.reset()
	}, Reset, "connection reset by peer"},
	{otherBytes, func(p *peer) { p.say(strings.Replace(whole, "hello\n", "jello\n", 1)) }, Wrong, `the body is "jello\n", want "hello\n"`},
	{"sends a body cut where the connection ends", func(p *peer) { p.say("HTTP/1.0 200 OK\r\n\r\nhel") }, Wrong, `the body is "hel"`},
	{"sends what is no HTTP", func(p *peer) { p.say("220 mail.example ESMTP\r\n") }, Wrong, "malformed HTTP"},
	{"sends a malformed chunk", func(p *peer) {
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsix\r\nhello\n\r\n")
	}, Wrong, "chunk"},
	{"sends two answers", func(p *peer) { p.say(whole + whole) }, Wrong, "bytes follow the answer"},
	{"sends an endless header", func(p *peer) {
		p.say("HTTP/1.1 200 OK\r\n")
		for line := "X-Filler: " + strings.Repeat("x", 4000) + "\r\n"; ; {
			if _, err := io.WriteString(p, line); err != nil {
				return
			}
		}
	}, Wrong, "longer than"},
	{"sends informational answers for ever", func(p *peer) {
		p.say(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10))
		never(p)
	}, Wrong, "informational"},
	{"sends an error", func(p *peer) {
		p.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
	}, Status, "503 Service Unavailable"},
	{"sends a redirection", func(p *peer) {
		p.say("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")
	}, Status, "302 Found"},
	{"switches protocols", func(p *peer) {
		p.say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\n")
		never(p)
	}, Status, "101"},
	{"never answers", never, TimedOut, "i/o timeout"},
	{"stops within the body", func(p *peer) {
		p.say(strings.TrimSuffix(whole, "lo\n"))
		never(p)
	}, TimedOut, "body"},
}

// TestFaults has each fault befall the first request of a connection, and one
// that follows a good answer on a kept connection, and checks that it is counted
// as what it is and as nothing else.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		for _, where := range []struct {
			name      string
			keepAlive bool
			good      int // answers before the fault
		}{
			{"new connection", false, 0},
			{"kept connection, first request", true, 0},
			{"kept connection, later request", true, 2},
		} {
			t.Run(f.name+"/"+where.name, func(t *testing.T) {
				leaktest.Check(t)
				url := serve(t, func(p *peer) {
					for range where.good {
						if p.request() != nil {
							return
						}
						p.say(whole)
					}
					if p.request() == nil {
						f.do(p)
					}
				})
				o := Options{
					URL: url, KeepAlive: where.keepAlive, Check: Equals("hello\n"),
					Requests: int64(where.good + 1), Timeout: 30 * time.Second,
				}
				if f.want == TimedOut {
					o.Timeout = 2 * time.Second
				}
				r, err := Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				want := Counts{OK: int64(where.good), Connections: 1}
				*want.field(f.want) = 1
				if got := r.Failures; len(got) != 1 || got[0].Class != f.want || !strings.Contains(got[0].Text, f.text) {
					t.Fatalf("failures %v, want one that is %s and says %q", got, f.want, f.text)
				}
				got := r.Failures[0]
				if where.good > 0 && (f.want == Cut || f.want == Reset) && got.Received == 0 {
					want.Stale = 1
				}
				if r.Total.Counts != want {
					t.Errorf("counts\n%+v, want\n%+v", r.Total.Counts, want)
				}
				if got.Local == "" || got.OnReused != (where.good > 0) || got.ID == "" || got.Method != "GET" || got.Phase != DefaultPhase {
					t.Errorf("failure %+v does not say where it befell", got)
				}
				if n := r.Total.Latency.Count(); n != int64(where.good) {
					t.Errorf("%d latencies, want only those of the %d good answers", n, where.good)
				}
			})
		}
	}
}

// TestFaultsAtOnce has a server misbehave at every other request of many
// clients, and compares what they count with what the server knows it did.
func TestFaultsAtOnce(t *testing.T) {
	quick := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.want == TimedOut })
	for _, o := range []Options{
		{Clients: 8, Requests: 1000},
		{Clients: 8, Requests: 1000, KeepAlive: true},
		{Clients: 8, Requests: 1000, KeepAlive: true, Rate: 2000},
	} {
		leaktest.Check(t)
		var mu sync.Mutex
		var want Counts
		o.Check, o.Timeout = Equals("hello\n"), time.Minute
		o.URL = serve(t, func(p *peer) {
			for p.request() == nil {
				mu.Lock()
				n := int(want.Requests())
				good := n%2 == 0
				f := quick[n/2%len(quick)]
				if good {
					f.want = OK
				}
				*want.field(f.want)++
				mu.Unlock()
				switch {
				case good:
					p.say(whole)
				case f.want == Status || f.name == otherBytes:
					f.do(p) // a whole answer: the client goes on
				default:
					f.do(p)
					return
				}
			}
		})
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Total.Counts
		got.Stale, got.Connections, got.Reconnected = 0, 0, 0
		if got != want || want.Requests() != 1000 {
			t.Errorf("%s: the client counts\n%v, the server did\n%v", r.Workload, got, want)
		}
	}
}
