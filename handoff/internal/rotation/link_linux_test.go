package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/units/helpertest"
)

// A crowd is the clients of a listener that leaves.
type crowd struct {
	Leavings int
	Clients  int
	Abreast  int // clients at a time
	Backlog  int // of the listener
	// Full: nobody accepts before the queue is full, and the listener leaves then.
	// Otherwise it leaves after a third of the clients.
	Full bool
}

var crowds = map[string]crowd{
	"a stream of clients": {Leavings: 5, Clients: 1000, Abreast: 250, Backlog: 4096},
	"a full queue":        {Leavings: 1, Clients: 5000, Abreast: 5000, Backlog: 4096, Full: true},
}

// A tally is what became of clients.
type tally struct{ Served, Refused, Reset, Other int64 }

// TestLeaving has listeners leave while clients come over a link with a delay: of
// those that leave as this package does it none resets a client. Loopback without
// the delay would show no difference.
func TestLeaving(t *testing.T) {
	for name, crowd := range crowds {
		t.Run(name, func(t *testing.T) {
			out := link(t, name)
			for how, got := range out {
				t.Logf("%s: %+v", how, got)
				if sum := got.Served + got.Refused + got.Reset + got.Other; sum != int64(crowd.Leavings*crowd.Clients) {
					t.Errorf("%s: %d clients, want %d", how, sum, crowd.Leavings*crowd.Clients)
				}
			}
			leave := out["leave"]
			if leave.Reset != 0 || leave.Other != 0 {
				t.Errorf("%d clients were reset after their handshake, %d kept waiting", leave.Reset, leave.Other)
			}
			if crowd.Full && leave.Served < int64(crowd.Backlog) || !crowd.Full && (leave.Served == 0 || leave.Refused == 0) {
				t.Errorf("the listener did not leave in the midst of its clients: %+v", leave)
			}
			if out["close"].Reset == 0 {
				t.Error("nor was one where the listener was closed: the test shows nothing")
			}
		})
	}
}

// link runs the helper in a network namespace of its own.
func link(t *testing.T, crowd string) map[string]tally {
	t.Helper()
	cmd := helpertest.Command(t, "link", crowd)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	data, err := cmd.Output()
	if errors.Is(err, os.ErrPermission) || err == nil && string(data) == "skip" {
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatalf("no link with a delay: %v", err)
		}
		t.Skipf("no link with a delay (needs root, and /dev/net/tun): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]tally
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("%v: %q", err, data)
	}
	return out
}

// linkHelper lets listeners leave in both ways.
func linkHelper(args []string) error {
	crowd := crowds[args[0]]
	tun, err := slowLink()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		fmt.Print("skip")
		return nil
	}
	defer tun.Close()
	out := make(map[string]tally)
	for how, leave := range map[string]func(*net.TCPListener) error{
		"close": func(ln *net.TCPListener) error { return ln.Close() },
		"leave": func(ln *net.TCPListener) error {
			if err := Hold(ln); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return errors.Join(Settled(ctx, ln), Shut(ln))
		},
	} {
		var sum tally
		for range crowd.Leavings {
			if err := sum.run(crowd, leave); err != nil {
				return fmt.Errorf("%s: %w", how, err)
			}
		}
		out[how] = sum
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func listenPlain(address string, backlog int) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	ln, err := c.Listen(context.Background(), "tcp4", address)
	if err != nil {
		return nil, err
	}
	return ln, fd.With(ln.(*net.TCPListener), func(fd int) error { return unix.Listen(fd, backlog) })
}

// run has a listener leave in the midst of its clients, and counts.
func (sum *tally) run(crowd crowd, leave func(*net.TCPListener) error) error {
	ln, err := listenPlain(here, crowd.Backlog)
	if err != nil {
		return err
	}
	defer ln.Close()
	due := make(chan struct{})
	var accepting sync.WaitGroup
	accept := func() {
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepting.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				io.CopyN(c, c, 1)
			})
			if !crowd.Full && n == crowd.Clients/3 {
				close(due)
			}
		}
	}
	var all sync.WaitGroup
	places := make(chan struct{}, crowd.Abreast)
	all.Go(func() {
		for range crowd.Clients {
			places <- struct{}{}
			all.Go(func() {
				sum.client()
				<-places
			})
		}
	})
	if crowd.Full {
		for n := 0; n < crowd.Backlog; time.Sleep(time.Millisecond) {
			if n, err = waiting([]syscall.Conn{ln.(*net.TCPListener)}); err != nil {
				return err
			}
		}
		close(due)
	}
	accepting.Go(accept)
	over := make(chan struct{})
	go func() {
		all.Wait()
		close(over)
	}()
	select {
	case <-due:
		err = leave(ln.(*net.TCPListener))
	case <-over:
		err = errors.New("the clients are gone, and the listener was not to leave yet")
	}
	<-over
	ln.Close()
	accepting.Wait()
	return err
}

// client comes, waits for its byte to come back, and counts how it fared.
func (sum *tally) client() {
	c, err := net.DialTimeout("tcp4", there, time.Minute)
	if err != nil {
		if errors.Is(err, unix.ECONNREFUSED) {
			atomic.AddInt64(&sum.Refused, 1)
		} else {
			atomic.AddInt64(&sum.Other, 1)
		}
		return
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	c.Write([]byte{1})
	b, err := io.ReadAll(c)
	switch {
	case err == nil && len(b) == 1:
		atomic.AddInt64(&sum.Served, 1)
	case errors.Is(err, os.ErrDeadlineExceeded):
		atomic.AddInt64(&sum.Other, 1)
	default:
		atomic.AddInt64(&sum.Reset, 1)
	}
}
