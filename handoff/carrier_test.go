package handoff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
)

// TestConnFuncAlone: where nothing can be carried, a ConnFunc is told so and has
// the time to say goodbye.
func TestConnFuncAlone(t *testing.T) {
	s := plain(t, Options{})
	ln := listening(t, s, "chat")
	serve := func(ctx context.Context, c net.Conn, state []byte) ([]byte, error) {
		if _, err := io.WriteString(c, "hello "+string(state)); err != nil {
			return nil, err
		}
		for {
			_, err := c.Read(make([]byte, 1))
			if errors.Is(err, os.ErrDeadlineExceeded) && errors.Is(context.Cause(ctx), ErrNoSuccessor) {
				_, err = io.WriteString(c, "goodbye")
				return []byte("lost"), errors.Join(ErrCarry, err)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	k, err := s.Carry("chat", serve)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Serve(ln); err != nil {
		t.Fatal(err)
	}
	done := running(t, s)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := k.Go(theirs, []byte("pipe")); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for _, client := range []struct {
		net.Conn
		want string
	}{{c, "hello goodbye"}, {ours, "hello pipegoodbye"}} {
		greeting := strings.TrimSuffix(client.want, "goodbye")
		b := make([]byte, len(greeting))
		if _, err := io.ReadFull(client, b); err != nil || string(b) != greeting {
			t.Fatalf("%q, %v", b, err)
		}
		all.Go(func() {
			rest, err := io.ReadAll(client)
			if err != nil || string(rest) != "goodbye" {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
	s.Stop()
	if err := result(t, done); err != nil {
		t.Error(err)
	}
	all.Wait()
	if n := s.Counters().Closed; n != 2 {
		t.Errorf("%d connections closed", n)
	}
	ours, theirs = net.Pipe()
	defer ours.Close()
	if err := k.Go(theirs, nil); !errors.Is(err, ErrDraining) {
		t.Errorf("Go after the drain: %v", err)
	}
	if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Go did not close the connection: %v", err)
	}
}

// TestStubbornConnFunc: one that does not mind the end of its context is cut.
func TestStubbornConnFunc(t *testing.T) {
	s := plain(t, Options{DrainTimeout: 10 * time.Millisecond})
	entered := make(chan struct{})
	k, err := s.Carry("stubborn", func(ctx context.Context, c net.Conn, _ []byte) ([]byte, error) {
		close(entered)
		for {
			// It sets its own deadline each time, and so is woken each time.
			c.SetReadDeadline(time.Now().Add(poll.Patience))
			if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				return nil, err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	done := running(t, s)
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := k.Go(theirs, nil); err != nil {
		t.Fatal(err)
	}
	<-entered
	s.Stop()
	if err := result(t, done); !errors.Is(err, ErrCut) || !strings.Contains(err.Error(), `carrier "stubborn": 1 connections`) {
		t.Errorf("Run returned %v", err)
	}
}

// TestMaxConns: beyond the limit a connection waits until another has ended.
func TestMaxConns(t *testing.T) {
	s := plain(t, Options{MaxConns: 1})
	ln := listening(t, s, "one")
	k, err := s.Carry("one", func(ctx context.Context, c net.Conn, _ []byte) ([]byte, error) {
		_, err := io.Copy(c, c)
		return nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Serve(ln); err != nil {
		t.Fatal(err)
	}
	done := running(t, s)
	echo := func(c net.Conn) error {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(poll.Patience))
		return c
	}
	first := dial()
	if err := echo(first); err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := k.Go(theirs, nil); err == nil || !strings.Contains(err.Error(), "more than 1") {
		t.Errorf("Go beyond the limit: %v", err)
	}
	second := dial()
	defer second.Close()
	first.Close()
	if err := echo(second); err != nil {
		t.Error(err)
	}
	s.Stop()
	if err := result(t, done); err != nil {
		t.Error(err)
	}
}

// TestHandoverAfterHijack: between Hijack and Carrier.Go a connection is nobody's,
// and the drain waits for it all the same.
func TestHandoverAfterHijack(t *testing.T) {
	s := plain(t, Options{})
	ln := listening(t, s, "http")
	k, err := s.Carry("chat", func(ctx context.Context, c net.Conn, state []byte) ([]byte, error) {
		_, err := io.WriteString(c, "goodbye")
		return nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	hijacked, went := make(chan struct{}), make(chan error, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		close(hijacked)
		if err == nil {
			<-s.Draining()
			err = k.Go(c, nil)
		}
		went <- err
	}
	if err := s.Serve(ln, &http.Server{Handler: http.HandlerFunc(handler)}); err != nil {
		t.Fatal(err)
	}
	done := running(t, s)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(poll.Patience))
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-hijacked
	s.Stop()
	if err := <-went; err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "goodbye" {
		t.Errorf("the client got %q, %v", b, err)
	}
	if err := result(t, done); err != nil {
		t.Error(err)
	}
}

// TestRefusedConns: a ConnFunc that cannot make sense of a state says so.
func TestRefusedConns(t *testing.T) {
	var reports []error
	s := plain(t, Options{Report: func(err error) { reports = append(reports, err) }})
	k, err := s.Carry("k", func(_ context.Context, _ net.Conn, state []byte) ([]byte, error) {
		return nil, fmt.Errorf("%w: %q", ErrRefused, state)
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ours, theirs := net.Pipe()
		if err := k.Go(theirs, []byte("nonsense")); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection was not closed: %v", err)
		}
	}
	s.Stop()
	if err := s.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.Counters().Refused; n != 3 {
		t.Errorf("%d were counted", n)
	}
	if len(reports) != 1 || !errors.Is(reports[0], ErrRefused) || !strings.Contains(reports[0].Error(), `carrier "k"`) {
		t.Errorf("reported %q", reports)
	}
}
