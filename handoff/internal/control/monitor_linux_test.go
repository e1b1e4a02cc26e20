package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

func TestMonitor(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{})
	c := connect(t, path)
	ctx, cancel := context.WithCancel(bounded(t))
	next, stop := iter.Pull2(c.Monitor(ctx))
	defer stop()
	if st, err, _ := next(); err != nil || st.Situation != "serving" {
		t.Fatalf("at first %+v, %v", st, err)
	}
	for i := range 3 {
		want := fmt.Sprintf("situation %d", i)
		s.change(func(st *Status) { st.Situation = want })
		if st, err, _ := next(); err != nil || st.Situation != want {
			t.Fatalf("after a change %+v, %v, want %s", st, err, want)
		}
	}
	cancel()
	if _, err, ok := next(); !errors.Is(err, context.Canceled) || !ok {
		t.Errorf("at the end of its context: %v", err)
	}
	if _, _, ok := next(); ok {
		t.Error("it goes on after an error")
	}
	if _, err := c.Status(bounded(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a call after Monitor: %v, want net.ErrClosed", err)
	}
}

func TestMonitorThatStops(t *testing.T) {
	leaktest.Check(t)
	path, _ := serve(t, newFake(), Options{})
	n := 0
	for _, err := range connect(t, path).Monitor(bounded(t)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d states", n)
	}
}

func TestMonitorError(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{})
	s.fail(errors.New("no cgroup"))
	var errs []error
	for _, err := range connect(t, path).Monitor(bounded(t)) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] == nil || errs[0].Error() != "control: monitor: no cgroup" {
		t.Errorf("it yields %v", errs)
	}
}

// A monitor that hangs up makes room at once, and not at the next change. One
// that has closed its end for writing alone is still there.
func TestMonitorHangsUp(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{MaxClients: 1})
	conn, read := raw(t, path)
	if _, err := fmt.Fprintf(conn, `{"method":"%s.Monitor","more":true}%c`, Interface, 0); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if answer, err := read(); err != nil || !answer.Continues {
			t.Fatalf("answer %d: %+v, %v", i, answer, err)
		}
		s.change(func(*Status) {})
	}
	if _, err := connect(t, path).Status(bounded(t)); !errors.Is(err, ErrTooManyClients) {
		t.Fatalf("beside a monitor: %v, want ErrTooManyClients", err)
	}
	conn.Close()
	poll.Until(t, "the monitor's place is free", func() bool {
		_, err := connect(t, path).Status(bounded(t))
		return err == nil
	})
}

// A monitor that does not read is dropped, and holds up nobody meanwhile.
func TestSlowMonitor(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	s.change(func(st *Status) { st.Generations[0].Status = strings.Repeat("x", 1<<20) }) // more than a socket holds
	path, _ := serve(t, s, Options{MaxClients: 2, Timeout: time.Second})
	conn, _ := raw(t, path)
	if _, err := fmt.Fprintf(conn, `{"method":"%s.Monitor","more":true}%c`, Interface, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it is being told
		t.Fatal(err)
	}
	s.change(func(st *Status) { st.Generations[0].Status = "" })
	next, stop := iter.Pull2(connect(t, path).Monitor(bounded(t)))
	defer stop()
	for i := range 3 {
		if _, err, _ := next(); err != nil {
			t.Fatalf("beside a slow monitor: %v", err)
		}
		s.change(func(st *Status) { st.Reexecs = uint64(i) })
	}
	// Two monitors are there, so there is room for a third when one was dropped.
	poll.Until(t, "the slow monitor is dropped", func() bool {
		_, err := status(bounded(t), path)
		return err == nil
	})
	if rest, err := io.ReadAll(conn); err == nil && len(rest) >= 1<<20 {
		t.Errorf("the slow monitor got its whole answer, %d bytes", len(rest))
	}
}
