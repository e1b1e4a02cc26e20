package handoff

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
)

// running runs s in the background, and returns once it is ready and what Run
// returns.
func running(t *testing.T, s *Service) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	poll.Until(t, "it is ready", s.Ready)
	return done
}

func result(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(poll.Patience):
		t.Fatal("Run does not return")
		return nil
	}
}

// listening returns a listener of s on loopback.
func listening(t *testing.T, s *Service, name string) net.Listener {
	t.Helper()
	ln, err := s.Listen(name, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// TestPlain: without a manager a Service is a plain server, whose clients are
// told to go.
func TestPlain(t *testing.T) {
	s := plain(t, Options{})
	ln := listening(t, s, "http")
	if err := s.Serve(ln, &http.Server{Handler: s.ReadyHandler()}); err != nil {
		t.Fatal(err)
	}
	if s.Ready() {
		t.Error("ready before Run")
	}
	done := running(t, s)
	select {
	case <-s.Owned():
	case <-time.After(poll.Patience):
		t.Error("not owned")
	}
	answer, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK || string(body) != "ready\n" || s.Generation() != 1 {
		t.Errorf("%s %q in generation %d", answer.Status, body, s.Generation())
	}
	s.Stop()
	if err := result(t, done); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	w := httptest.NewRecorder()
	s.ReadyHandler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("after Run readiness is %d", w.Code)
	}
	if c := s.Counters(); c.Drain <= 0 {
		t.Errorf("%+v", c)
	}
}

// TestRequestsFinish: a request under way is answered, one that takes too long is
// cut.
func TestRequestsFinish(t *testing.T) {
	for _, c := range []struct {
		timeout time.Duration
		want    error
	}{{poll.Patience, nil}, {time.Millisecond, ErrCut}} {
		t.Run(fmt.Sprint(c.timeout), func(t *testing.T) {
			s := plain(t, Options{DrainTimeout: c.timeout})
			ln := listening(t, s, "http")
			begun, finish := make(chan struct{}), make(chan struct{})
			handler := func(w http.ResponseWriter, r *http.Request) {
				close(begun)
				<-finish
			}
			if err := s.Serve(ln, &http.Server{Handler: http.HandlerFunc(handler)}); err != nil {
				t.Fatal(err)
			}
			done := running(t, s)
			answered := make(chan error, 1)
			go func() {
				answer, err := http.Get("http://" + ln.Addr().String())
				if err == nil {
					answer.Body.Close()
				}
				answered <- err
			}()
			<-begun
			s.Stop()
			if c.want == nil {
				poll.Until(t, "the drain has begun", func() bool { return s.Counters().Drain != 0 })
				close(finish)
			}
			if err := result(t, done); !errors.Is(err, c.want) {
				t.Errorf("Run returned %v, want %v", err, c.want)
			}
			if c.want != nil {
				close(finish)
			}
			if err := <-answered; (err == nil) != (c.want == nil) {
				t.Errorf("the client got %v", err)
			}
			if n := s.Counters().Closed; (n > 0) != (c.want != nil) {
				t.Errorf("%d connections closed", n)
			}
		})
	}
}

// A brokenServer stops by itself.
type brokenServer struct{ err error }

func (b brokenServer) Serve(net.Listener) error       { return b.err }
func (b brokenServer) Shutdown(context.Context) error { return nil }

// TestRunEnds: whatever goes wrong ends Run, and is what it returns.
func TestRunEnds(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		what  string
		setUp func(*Service) error
	}{
		{"a server", func(s *Service) error {
			ln, err := s.Listen("a", "tcp", "127.0.0.1:0")
			return errors.Join(err, s.Serve(ln, brokenServer{broken}))
		}},
		{"a function", func(s *Service) error {
			return s.Go(func(context.Context) error { return broken })
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := plain(t, Options{})
			if err := c.setUp(s); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Run(context.Background()) }()
			if err := result(t, done); !errors.Is(err, broken) {
				t.Errorf("Run returned %v", err)
			}
		})
	}
	t.Run("the context", func(t *testing.T) {
		s := plain(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		if err := s.Go(func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			if context.Cause(ctx) != ErrDraining {
				return context.Cause(ctx)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("a listener that is closed", func(t *testing.T) {
		s := plain(t, Options{})
		ln := listening(t, s, "a")
		if err := s.Serve(ln, &http.Server{}); err != nil {
			t.Fatal(err)
		}
		done := running(t, s)
		ln.Close()
		if err := result(t, done); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run returned %v", err)
		}
	})
}

// TestLameDuck: the service goes on accepting while its readiness is negative.
func TestLameDuck(t *testing.T) {
	s := plain(t, Options{LameDuck: 3 * time.Second})
	ln := listening(t, s, "http")
	if err := s.Serve(ln, &http.Server{Handler: s.ReadyHandler()}); err != nil {
		t.Fatal(err)
	}
	done := running(t, s)
	s.Stop()
	poll.Until(t, "it is not ready", func() bool { return !s.Ready() })
	answer, err := http.Get("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || !answer.Close {
		t.Errorf("%s, close %v", answer.Status, answer.Close)
	}
	if err := result(t, done); err != nil {
		t.Error(err)
	}
}
