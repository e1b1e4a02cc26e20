package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// idle lets a Check wait until something has come on the connection that its
// answer came on, so that a test does not depend on how fast that is.
type idle struct{ conn atomic.Pointer[net.Conn] }

func (i *idle) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	i.conn.Store(&c)
	return c, err
}

func (i *idle) until(want pending) error {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if probe(*i.conn.Load()) == want {
			return nil
		}
	}
	return errors.New("what the server does on the idle connection does not arrive")
}

// TestIdleConnection has the server do something to a kept connection once its
// answer is whole, and checks what the next request makes of it.
func TestIdleConnection(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("idle connections cannot be asked on this system")
	}
	for _, test := range []struct {
		name string
		do   func(p *peer, answered <-chan struct{}) // after the request was read
		seen pending                                 // what the client finds afterwards
		want Counts                                  // of three requests
	}{
		{"closes without a word", func(p *peer, _ <-chan struct{}) { p.say(whole) },
			closed, Counts{OK: 3, Connections: 3, Reconnected: 2}},
		{"says that it closes", func(p *peer, _ <-chan struct{}) {
			p.say(strings.Replace(whole, "Content", "Connection: close\r\nContent", 1))
		},
			closed, Counts{OK: 3, Connections: 3, Reconnected: 2}},
		{"says that it closes, and does not", func(p *peer, _ <-chan struct{}) {
			p.say(strings.Replace(whole, "Content", "Connection: close\r\nContent", 1))
			never(p)
		}, nothing, Counts{OK: 3, Connections: 3, Reconnected: 2}},
		{"speaks HTTP/1.0", func(p *peer, _ <-chan struct{}) { p.say("HTTP/1.0 200 OK\r\n\r\nhello\n") },
			closed, Counts{OK: 3, Connections: 3, Reconnected: 2}},
		{"resets", func(p *peer, answered <-chan struct{}) {
			p.say(whole)
			<-answered
			p.reset()
		}, closed, Counts{OK: 3, Connections: 3, Reconnected: 2}},
		{"says more later", func(p *peer, answered <-chan struct{}) {
			p.say(whole)
			<-answered
			p.say("HTTP/1.1 408 Request Timeout\r\n\r\n")
			never(p)
		}, readable, Counts{OK: 2, Wrong: 1, Connections: 2, Reconnected: 1}}, // the second is not sent
	} {
		t.Run(test.name, func(t *testing.T) {
			leaktest.Check(t)
			answered := make(chan struct{}, 3)
			var i idle
			url := serve(t, func(p *peer) {
				if p.request() == nil {
					test.do(p, answered)
				}
			})
			r, err := Run(t.Context(), Options{
				URL: url, KeepAlive: true, Requests: 3, Timeout: time.Minute, Dial: i.dial,
				Check: func(Request, Answer) error {
					answered <- struct{}{}
					return i.until(test.seen)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if r.Total.Counts != test.want {
				t.Errorf("counts\n%+v, want\n%+v; %v", r.Total.Counts, test.want, r.Failures)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	leaktest.Check(t)
	for _, keepAlive := range []bool{false, true} {
		// Port 1 is nobody's.
		r, err := Run(t.Context(), Options{URL: "http://127.0.0.1:1/", Requests: 3, KeepAlive: keepAlive})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Counts{Refused: 3}); r.Total.Counts != want {
			t.Errorf("counts %+v, want %+v; %v", r.Total.Counts, want, r.Failures)
		}
		if f := r.Failures[0]; f.Local != "" || !strings.Contains(f.Text, "127.0.0.1:1") {
			t.Errorf("failure %+v: want no local address, and the one dialed", f)
		}
	}
}

// TestRequestUnread has the server close while a part of the request is in its
// queue, which the kernel answers with a reset.
func TestRequestUnread(t *testing.T) {
	leaktest.Check(t)
	for _, size := range []int{100, 1 << 20} {
		url := serve(t, func(p *peer) {
			var b [10]byte
			_, _ = p.TCPConn.Read(b[:])
		})
		r, err := Run(t.Context(), Options{URL: url, Requests: 4, PostEvery: 1, BodySize: size, KeepAlive: true})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Counts{Reset: 4, Connections: 4, Reconnected: 3}); r.Total.Counts != want {
			t.Errorf("body of %d: counts %+v, want %+v; %v", size, r.Total.Counts, want, r.Failures)
		}
	}
}

// TestAnswerBeforeRequestIsRead has the server answer, and stop reading: the
// answer counts, the connection is not used again, and nothing waits for long.
func TestAnswerBeforeRequestIsRead(t *testing.T) {
	leaktest.Check(t)
	release := make(chan struct{})
	var served atomic.Int64
	url := serve(t, func(p *peer) {
		_, _ = p.in.ReadByte()
		p.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
		if served.Add(1) == 1 {
			<-release
		}
	})
	load, err := Start(t.Context(), Options{URL: url, Requests: 1, PostEvery: 1, BodySize: MaxBodySize, KeepAlive: true, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	r, err := load.Wait()
	close(release)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Counts{Status: 1, Connections: 1}); r.Total.Counts != want {
		t.Errorf("counts %+v, want %+v; %v", r.Total.Counts, want, r.Failures)
	}
}

// TestDial covers what can befall a client before it has a connection.
func TestDial(t *testing.T) {
	for _, test := range []struct {
		name string
		dial func(context.Context, string, string) (net.Conn, error)
		want Class
	}{
		{"hangs", func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("dial: %w", ctx.Err())
		}, TimedOut},
		{"fails", func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no route")
		}, Other},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaktest.Check(t)
			r, err := Run(t.Context(), Options{URL: "http://example/", Requests: 2, Timeout: 100 * time.Millisecond, Dial: test.dial})
			if err != nil {
				t.Fatal(err)
			}
			var want Counts
			*want.field(test.want) = 2
			if r.Total.Counts != want {
				t.Errorf("counts %+v, want %+v; %v", r.Total.Counts, want, r.Failures)
			}
		})
	}
}

// TestCancel ends the context while requests are in flight: they are the
// client's doing, and no failures.
func TestCancel(t *testing.T) {
	leaktest.Check(t)
	arrived := make(chan struct{})
	url := serve(t, func(p *peer) {
		if p.request() == nil {
			close(arrived)
			never(p)
		}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	load, err := Start(ctx, Options{URL: url, Duration: time.Hour, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	<-arrived
	because := errors.New("the test has seen enough")
	cancel(because)
	r, err := load.Wait()
	if !errors.Is(err, because) {
		t.Errorf("error %v, want one that says why", err)
	}
	if want := (Counts{Canceled: 1, Connections: 1}); r.Total.Counts != want || len(r.Failures) != 0 {
		t.Errorf("counts %+v, want %+v; %v", r.Total.Counts, want, r.Failures)
	}
}

// TestStop ends a run while a request is in flight: it is waited for.
func TestStop(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		leaktest.Check(t)
		arrived, release := make(chan struct{}), make(chan struct{})
		url := serve(t, func(p *peer) {
			if p.request() == nil {
				close(arrived)
				<-release
				p.say(whole)
			}
		})
		load, err := Start(t.Context(), Options{URL: url, Duration: time.Hour, Timeout: time.Minute, Rate: rate, Requests: 1})
		if err != nil {
			t.Fatal(err)
		}
		<-arrived
		load.Stop()
		load.Stop()
		close(release)
		r, err := load.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if want := (Counts{OK: 1, Connections: 1}); r.Total.Counts != want || load.Counts() != want {
			t.Errorf("counts %+v, live %+v, want %+v; %v", r.Total.Counts, load.Counts(), want, r.Failures)
		}
	}
}
