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

	"github.com/holdfast-go/holdfast/units/helpertest"
)

// How often, and with how many clients, a listener leaves in TestLeaving.
const (
	leavings = 5
	clients  = 1000
	abreast  = 250 // clients at a time
)

// A tally is what became of clients.
type tally struct{ Served, Refused, Reset, Other int64 }

// TestLeaving has listeners leave while clients come over a link with a delay: of
// those that leave as this package does it none resets a client. Loopback without
// the delay would show no difference.
func TestLeaving(t *testing.T) {
	out := link(t)
	for how, got := range out {
		t.Logf("%s: %+v", how, got)
		if sum := got.Served + got.Refused + got.Reset + got.Other; sum != leavings*clients {
			t.Errorf("%s: %d clients, want %d", how, sum, leavings*clients)
		}
		if got.Served == 0 || got.Refused == 0 || got.Other != 0 {
			t.Errorf("%s: the listener did not leave in the midst of its clients: %+v", how, got)
		}
	}
	if n := out["leave"].Reset; n != 0 {
		t.Errorf("%d clients were reset after their handshake", n)
	}
	if out["close"].Reset == 0 {
		t.Error("nor was one where the listener was closed: the test shows nothing")
	}
}

// link runs the helper in a network namespace of its own.
func link(t *testing.T) map[string]tally {
	t.Helper()
	cmd := helpertest.Command(t, "link")
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
func linkHelper([]string) error {
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
			return errors.Join(Settled(ctx, 30*time.Millisecond, ln), Shut(ln))
		},
	} {
		var sum tally
		for range leavings {
			if err := sum.run(leave); err != nil {
				return fmt.Errorf("%s: %w", how, err)
			}
		}
		out[how] = sum
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func listenPlain(address string) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), "tcp4", address)
}

// run has a listener leave after a third of the clients, and counts.
func (sum *tally) run(leave func(*net.TCPListener) error) error {
	ln, err := listenPlain(here)
	if err != nil {
		return err
	}
	defer ln.Close()
	third := make(chan struct{})
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for n := 1; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Write([]byte{1})
			c.Close()
			if n == clients/3 {
				close(third)
			}
		}
	})
	var all sync.WaitGroup
	places := make(chan struct{}, abreast)
	all.Go(func() {
		for range clients {
			places <- struct{}{}
			all.Go(func() {
				sum.client()
				<-places
			})
		}
	})
	<-third
	err = leave(ln.(*net.TCPListener))
	all.Wait()
	ln.Close()
	accepting.Wait()
	return err
}

// client comes, waits for its byte, and counts how it fared.
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
	if b, err := io.ReadAll(c); err == nil && len(b) == 1 {
		atomic.AddInt64(&sum.Served, 1)
	} else {
		atomic.AddInt64(&sum.Reset, 1)
	}
}
