package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// replying listens at a path, and has each client answered by f, which the connection
// is closed after.
func replying(t *testing.T, f func(c net.Conn)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	return path
}

// TestAnswers: what a client makes of answers that no server of ours gives, and that
// it is of no more use where it cannot know what comes next.
func TestAnswers(t *testing.T) {
	const service = "org.varlink.service."
	status := `{"parameters":{"status":{"situation":"serving"}}}` + "\x00"
	for _, c := range []struct {
		name, answer string
		want         error
		says         string // in the error
		goesOn       bool
	}{
		{name: "a state", answer: status, goesOn: true},
		{name: "nothing", answer: "", want: ErrGone},
		{name: "half a message", answer: status[:20], want: ErrGone},
		{name: "no JSON", answer: "hello\x00", want: ErrInvalid},
		{name: "a state that is none", answer: `{"parameters":{"status":7}}` + "\x00", want: ErrInvalid},
		{name: "too much", answer: strings.Repeat(" ", MaxReply+1) + "\x00", want: ErrTooLarge},
		{name: "an error that is not known", answer: `{"error":"com.example.Other"}` + "\x00", says: "status: com.example.Other", goesOn: true},
		{name: "with a reason", answer: `{"error":"com.example.Other","parameters":{"reason":"a reason"}}` + "\x00", says: "status: a reason", goesOn: true},
		{name: "with parameters that are none", answer: `{"error":"com.example.Other","parameters":7}` + "\x00", want: ErrInvalid, says: "cannot be read", goesOn: true},
		{name: "a parameter", answer: `{"error":"` + service + `InvalidParameter","parameters":{"parameter":"program"}}` + "\x00", want: ErrInvalid, says: `"program"`, goesOn: true},
		{name: "another's error of that name", answer: `{"error":"com.example.InvalidParameter"}` + "\x00", says: "status: com.example.InvalidParameter", goesOn: true},
		{name: "a method", answer: `{"error":"` + service + `MethodNotFound","parameters":{"method":"X"}}` + "\x00", want: errors.ErrUnsupported, says: "X: ", goesOn: true},
		{name: "another's error of that name, too", answer: `{"error":"com.example.MethodNotFound"}` + "\x00", says: "status: com.example.MethodNotFound", goesOn: true},
		{name: "another of the standard's", answer: `{"error":"` + service + `Odd"}` + "\x00", says: "status: " + service + "Odd", goesOn: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			path := replying(t, func(conn net.Conn) {
				for range 2 { // calls, while there are some
					if _, err := conn.Read(make([]byte, MaxRequest)); err != nil {
						return
					}
					if _, err := io.WriteString(conn, c.answer); err != nil || c.answer == "" || !strings.HasSuffix(c.answer, "\x00") {
						return
					}
				}
			})
			client := connect(t, path)
			_, err := client.Status(bounded(t))
			if c.want != nil && !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) || (c.want != nil || c.says != "") != (err != nil) {
				t.Errorf("%v, want %v, %q", err, c.want, c.says)
			}
			for _, other := range []error{ErrGone, ErrInvalid, ErrTooLarge, errors.ErrUnsupported} {
				if other != c.want && errors.Is(err, other) {
					t.Errorf("%v is %v, too", err, other)
				}
			}
			if _, err := client.Status(bounded(t)); errors.Is(err, net.ErrClosed) == c.goesOn {
				t.Errorf("the next call: %v", err)
			}
			client.Close()
		})
	}
}

// TestServerResets: a server that goes away with what it has not read resets the
// connection.
func TestServerResets(t *testing.T) {
	leaktest.Check(t)
	sent := make(chan struct{})
	path := replying(t, func(net.Conn) { <-sent })
	c := connect(t, path)
	if err := c.send(request{Method: "x"}); err != nil {
		t.Fatal(err)
	}
	close(sent)
	if _, err := c.receive(nil); !errors.Is(err, ErrGone) || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("it receives %v", err)
	}
}

// TestDialFails: why there is no connection.
func TestDialFails(t *testing.T) {
	leaktest.Check(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := filepath.Join(dir, "full")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: full}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	waits, err := net.Dial("unix", full)
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	soon, cancel := context.WithTimeout(t.Context(), 5*dialPause)
	defer cancel()
	for _, c := range []struct {
		name, path string
		ctx        context.Context
		want       error
	}{
		{"nothing is there", filepath.Join(dir, "absent"), t.Context(), ErrNoServer},
		{"nobody listens", file, t.Context(), ErrNoServer},
		{"no folder", filepath.Join(file, "control"), t.Context(), syscall.ENOTDIR},
		{"a path that is too long", filepath.Join(dir, strings.Repeat("x", 200)), t.Context(), ErrInvalid},
		{"a full queue", full, soon, context.DeadlineExceeded},
	} {
		_, err := Dial(c.ctx, c.path)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.path == full && !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("%s: %v does not say why it waited", c.name, err)
		}
		for _, other := range []error{ErrNoServer, ErrPermission} {
			if other != c.want && errors.Is(err, other) {
				t.Errorf("%s: %v is %v, too", c.name, err, other)
			}
		}
		if c.name == "nothing is there" { // what asks over connections of its own says the same
			if err := Reexec(c.ctx, c.path); !errors.Is(err, c.want) {
				t.Errorf("reexec: %v, want %v", err, c.want)
			}
		}
	}
}

// TestContextEnds: a call ends with its context, wherever it stands.
func TestContextEnds(t *testing.T) {
	leaktest.Check(t)
	asked := make(chan struct{})
	hang := make(chan struct{})
	path := replying(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, MaxRequest))
		close(asked)
		<-hang
	})
	c := connect(t, path)
	first, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Status(first)
		done <- err
	}()
	<-asked
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := c.Status(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a call that waits for its turn: %v", err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		t.Errorf("the call under way: %v", err)
	}
	if _, err := c.Status(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a call after the end: %v", err)
	}
	if _, err := c.Status(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the next call: %v", err)
	}
	close(hang)
}

// TestMonitorEnds: a loop over states ends where the server says that none follows, and
// the client with it.
func TestMonitorEnds(t *testing.T) {
	leaktest.Check(t)
	path := replying(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, MaxRequest))
		_, _ = io.WriteString(c, `{"parameters":{"status":{}},"continues":true}`+"\x00"+`{"parameters":{"status":{}}}`+"\x00")
		_, _ = c.Read(make([]byte, 1))
	})
	c := connect(t, path)
	n := 0
	for _, err := range c.Monitor(bounded(t)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d states, want 2", n)
	}
	if _, err := c.Status(bounded(t)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the next call: %v", err)
	}
}

// TestCallNumber: a call keeps its number, and there need not be one.
func TestCallNumber(t *testing.T) {
	var none *Call
	none.Begun(7)
	if CallOf(t.Context()) != nil || none.Number() != 0 {
		t.Errorf("of no call: %v, %d", CallOf(t.Context()), none.Number())
	}
	c := new(Call)
	if c.Begun(7); c.Number() != 7 {
		t.Errorf("the number is %d", c.Number())
	}
}

// TestAtEnd: an error that says only that the wait has ended becomes ErrStopping, and no
// other does.
func TestAtEnd(t *testing.T) {
	cause := errors.New("the cause")
	ended, end := context.WithCancelCause(t.Context())
	end(cause)
	other := errors.New("another")
	for _, c := range []struct {
		name     string
		ctx      context.Context
		err      error
		stopping bool
	}{
		{"it goes on", t.Context(), context.Canceled, false},
		{"the context's error", ended, context.Canceled, true},
		{"its cause", ended, cause, true},
		{"another error", ended, other, false},
	} {
		if err := atEnd(c.ctx, c.err); errors.Is(err, ErrStopping) != c.stopping || !c.stopping && err != c.err {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
