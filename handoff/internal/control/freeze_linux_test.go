package control

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// freezing returns a server with idle clients.
func freezing(t *testing.T, s *fake, idle int) (srv *Server, path string, clients []*Client) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv = NewServer(s, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	for range idle {
		c := connect(t, path)
		if _, err := c.Status(bounded(t)); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	return srv, path, clients
}

// freeze freezes a server, and has it go on. It returns how many clients were carried.
func freeze(t *testing.T, srv *Server) int {
	t.Helper()
	clients, thaw, err := srv.Freeze(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer thaw()
	for _, c := range clients {
		c.Conn.Close()
	}
	return len(clients)
}

// TestFreezeAgain: a client is carried also where it has not noticed yet that it was
// thawed, and stays where nobody takes the server's place after all.
func TestFreezeAgain(t *testing.T) {
	leaktest.Check(t)
	srv, _, clients := freezing(t, newFake(), 1)
	for i := range 2000 {
		if n := freeze(t, srv); n != 1 {
			t.Fatalf("time %d: %d clients are carried", i, n)
		}
	}
	if _, err := clients[0].Status(bounded(t)); err != nil {
		t.Error(err)
	}
}

// TestFreezeBesideDeaf: a client that does not take its answer is left behind, and no
// other with it.
func TestFreezeBesideDeaf(t *testing.T) {
	leaktest.Check(t)
	const idle = 8
	s := newFake()
	srv, path, clients := freezing(t, s, idle)
	s.change(func(status *Status) { status.Generations[0].Status = strings.Repeat("x", MaxReply) })
	deaf := connect(t, path)
	if err := deaf.send(request{Method: Interface + ".Status"}); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "an answer that is not taken", func() bool {
		srv.mu.Lock()
		defer srv.mu.Unlock()
		for c := range srv.clients {
			c.mu.Lock()
			writing := c.writing
			c.mu.Unlock()
			if writing {
				return true
			}
		}
		return false
	})
	if n := freeze(t, srv); n != idle {
		t.Errorf("%d of %d clients are carried", n, idle)
	}
	s.change(func(status *Status) { status.Generations[0].Status = "" })
	for _, c := range clients {
		if _, err := c.Status(bounded(t)); err != nil {
			t.Error(err)
		}
	}
}

// TestFreezeLeavesWhatIsBegunAnew: a drain, and its end, are not carried over: another
// server would begin them once more. They are answered by this one.
func TestFreezeLeavesWhatIsBegunAnew(t *testing.T) {
	leaktest.Check(t)
	for name, call := range map[string]func(*Client) error{
		"drain":   func(c *Client) error { _, err := c.Drain(bounded(t), 0); return err },
		"undrain": func(c *Client) error { _, err := c.Undrain(bounded(t)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			begun, finish := make(chan struct{}), make(chan struct{})
			s := newFake()
			s.drain = func() {
				close(begun)
				<-finish
			}
			srv, path, _ := freezing(t, s, 1)
			c := connect(t, path)
			done := make(chan error, 1)
			go func() { done <- call(c) }()
			<-begun
			if n := freeze(t, srv); n != 1 {
				t.Errorf("%d clients are carried, want the idle one alone", n)
			}
			close(finish)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
