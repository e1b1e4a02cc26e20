package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// served is an http.Server on loopback with a drainer.
type served struct {
	*drainer
	ln      net.Listener
	serving chan error
}

func serve(t *testing.T, h http.Handler) *served {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{drainer: newDrainer(&http.Server{Handler: h}), ln: ln, serving: make(chan error, 1)}
	go func() { s.serving <- s.srv.Serve(ln) }()
	t.Cleanup(func() { s.srv.Close() })
	return s
}

// drained starts the drain, and delivers how it ended.
func (s *served) drained(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.drain(ctx, s.ln, s.serving) }()
	return done
}

// awaitClosed returns once nobody listens on s any more.
func (s *served) awaitClosed(t *testing.T, ctx context.Context) {
	t.Helper()
	waitFor(t, ctx, "the listener to close", func() bool {
		c, err := net.Dial("tcp", s.ln.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

func dial(t *testing.T, s *served) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

const request = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"

// answer reads one answer with this body, and returns whether the server will
// close the connection.
func answer(t *testing.T, r *bufio.Reader, want string) (closing bool) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != want {
		t.Fatalf("got body %q and error %v, want %q", body, err, want)
	}
	return resp.Close
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestDrainAnswersWhatHasReachedIt(t *testing.T) {
	leaktest.Check(t)
	ctx := deadline(t)
	entered, release := make(chan struct{}), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-release
		}
		io.WriteString(w, "hello")
	}))

	idle, fromIdle := dial(t, s)
	io.WriteString(idle, request)
	if answer(t, fromIdle, "hello") {
		t.Error("before the drain a connection is not kept")
	}
	busy, fromBusy := dial(t, s)
	io.WriteString(busy, strings.Replace(request, "/", "/slow", 1))
	<-entered
	silent, fromSilent := dial(t, s) // accepted, and has not asked yet
	waitFor(t, ctx, "the silent connection to be accepted", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.busy) == 2
	})

	done := s.drained(ctx)
	s.awaitClosed(t, ctx)
	waitFor(t, ctx, "the drain to begin", s.isDraining)
	select {
	case err := <-done:
		t.Fatalf("the drain ended (%v) with two connections still busy", err)
	default:
	}
	io.WriteString(silent, request)
	if !answer(t, fromSilent, "hello") {
		t.Error("the answer to a late request keeps the connection")
	}
	close(release)
	if answer(t, fromBusy, "hello") {
		t.Log("the slow answer announced the close too") // its handler ran before the drain
	}
	if err := <-done; err != nil {
		t.Errorf("drain: %v", err)
	}
	if _, err := fromIdle.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection ended with %v, want EOF", err)
	}
}

func TestDrainEndsWithItsContext(t *testing.T) {
	leaktest.Check(t)
	entered, release := make(chan struct{}), make(chan struct{})
	s := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-release
	}))
	defer close(release)
	c, _ := dial(t, s)
	io.WriteString(c, request)
	<-entered

	ctx, cancel := context.WithCancelCause(deadline(t))
	done := s.drained(ctx)
	s.awaitClosed(t, deadline(t))
	over := errors.New("time is over")
	cancel(over)
	if err := <-done; !errors.Is(err, over) {
		t.Errorf("got %v, want %v", err, over)
	}
}
