package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

func TestOldestIdleClientMakesRoom(t *testing.T) {
	leaktest.Check(t)
	path := filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(newFake(), Options{MaxClients: 3})
	serveBy(t, server, l)
	// ask returns when the server, too, takes the client for idle again: the order in
	// which it does is what the test is about.
	ask := func(c *Client) {
		t.Helper()
		if _, err := c.Status(bounded(t)); err != nil {
			t.Fatal(err)
		}
		poll.Until(t, "the client to be idle", func() bool { return server.busy() == 0 })
	}
	var clients []*Client
	for range 3 {
		c := connect(t, path)
		ask(c)
		clients = append(clients, c)
	}
	ask(clients[0]) // again, so the second one is the oldest
	if _, err := connect(t, path).Status(bounded(t)); err != nil {
		t.Errorf("the newcomer: %v", err)
	}
	for i, want := range []error{nil, ErrGone, nil} {
		if _, err := clients[i].Status(bounded(t)); !errors.Is(err, want) {
			t.Errorf("client %d: %v, want %v", i, err, want)
		}
	}
}

// busy counts the clients that wait for an answer.
func (s *Server) busy() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.idle.IsZero() {
			n++
		}
	}
	return n
}

func TestTooManyClients(t *testing.T) {
	leaktest.Check(t)
	const most = 3
	s := newFake()
	begun, finish := make(chan struct{}, most), make(chan struct{})
	s.reload = func(context.Context, ReloadRequest) (Verdict, error) {
		begun <- struct{}{}
		<-finish
		return Verdict{Outcome: Done}, nil
	}
	var reports sync.Map
	path := filepath.Join(t.TempDir(), "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(s, Options{MaxClients: most, Report: func(err error) { reports.Store(err.Error(), true) }})
	serveBy(t, server, l)
	ctx := bounded(t)
	results := make(chan error, most)
	for range most {
		c := connect(t, path)
		go func() {
			_, err := c.Reload(ctx, ReloadRequest{})
			results <- err
		}()
		<-begun
	}
	c := connect(t, path)
	if _, err := c.Status(ctx); !errors.Is(err, ErrTooManyClients) {
		t.Errorf("one more than all that wait: %v, want ErrTooManyClients", err)
	}
	// Those that are turned away and say nothing are bounded, too.
	var mute []net.Conn
	for range 3 * maxTurnedAway {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		mute = append(mute, conn)
	}
	closed := make(chan struct{}, len(mute))
	for _, conn := range mute {
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			closed <- struct{}{}
		}()
	}
	for range len(mute) - maxTurnedAway {
		<-closed
	}
	close(finish)
	for range most {
		if err := <-results; err != nil {
			t.Errorf("one that waited: %v", err)
		}
	}
	poll.Until(t, "the clients to be idle", func() bool { return server.busy() == 0 })
	if _, err := connect(t, path).Status(ctx); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	want := fmt.Sprintf("control: turned away PID %d: too many clients: 3 wait for their answers", os.Getpid())
	if _, ok := reports.Load(want); !ok {
		t.Errorf("the reports lack %q", want)
	}
}

// raw connects without a Client and returns a function that reads a reply.
func raw(t *testing.T, path string) (net.Conn, func() (reply, error)) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, repliesOf(conn)
}

func TestGarbage(t *testing.T) {
	leaktest.Check(t)
	path, _ := serve(t, newFake(), Options{})
	big := strings.Repeat("x", 10*MaxRequest)
	for _, test := range []struct{ name, sent, want string }{
		{"no JSON", "GET / HTTP/1.1\r\n\r\n\x00", "InvalidMessage"},
		{"an empty message", "\x00", "InvalidMessage"},
		{"not an object", "[1,2]\x00", "InvalidMessage"},
		{"a method that is no string", `{"method":7}` + "\x00", "InvalidMessage"},
		{"two objects", "{}{}\x00", "InvalidMessage"},
		{"too large, with its end", `{"method":"` + big + `"}` + "\x00", "MessageTooLarge"},
		{"too large, without end", big, "MessageTooLarge"},
		{"no method", "{}\x00", "org.varlink.service.InvalidParameter"},
		{"a method without an interface", `{"method":"Status"}` + "\x00", "org.varlink.service.InvalidParameter"},
		{"another interface", `{"method":"io.example.Status"}` + "\x00", "org.varlink.service.InterfaceNotFound"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, read := raw(t, path)
			go func() { _, _ = conn.Write([]byte(test.sent)) }()
			answer, err := read()
			want := test.want
			if !strings.Contains(want, ".") {
				want = Interface + "." + want
			}
			if err != nil || answer.Error != want {
				t.Fatalf("answer %+v, %v, want %s", answer, err, want)
			}
			if strings.HasPrefix(want, Interface) {
				if _, err := read(); err == nil {
					t.Error("the connection goes on")
				}
			}
		})
	}
	if _, err := connect(t, path).Status(bounded(t)); err != nil {
		t.Errorf("another client afterwards: %v", err)
	}
}

func TestMessageOfTheMostBytes(t *testing.T) {
	leaktest.Check(t)
	path, _ := serve(t, newFake(), Options{})
	message := `{"method":"` + Interface + `.Status","padding":"`
	message += strings.Repeat("x", MaxRequest-len(message)-2) + `"}`
	conn, read := raw(t, path)
	// Twice, and at once: calls may be sent before the answers.
	if _, err := conn.Write([]byte(strings.Repeat(message+"\x00", 2))); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if answer, err := read(); err != nil || answer.Error != "" {
			t.Errorf("a message of %d bytes: %+v, %v", len(message), answer, err)
		}
	}
}

func TestOnewayAndHalfClosed(t *testing.T) {
	leaktest.Check(t)
	s := newFake()
	path, _ := serve(t, s, Options{})
	conn, read := raw(t, path)
	calls := fmt.Sprintf(`{"method":"%[1]s.Reload","oneway":true}%[2]c{"method":"%[1]s.Monitor","oneway":true,"more":true}%[2]c{"method":"%[1]s.Status"}%[2]c`, Interface, 0)
	if _, err := conn.Write([]byte(calls)); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := read(); err != nil || !strings.Contains(string(answer.Parameters), `"situation":"serving"`) {
		t.Errorf("the first answer is %+v, %v, want that of Status", answer, err)
	}
	if len(s.requests()) != 1 {
		t.Error("the call without an answer was not carried out")
	}
}

// TestPermission has another user connect, whom the mode of the path would keep
// out, so it is loosened.
func TestPermission(t *testing.T) {
	leaktest.Check(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	const nobody, somebody = 65534, 65533
	dir, err := os.MkdirTemp("", "control") // T.TempDir is for this user only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test") // where any user may run it
	if err := errors.Join(os.WriteFile(program, self, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	reload := func(path string, uid uint32) (string, error) {
		cmd := exec.CommandContext(bounded(t), program, path)
		cmd.Env = []string{helperVariable + "=reload"}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	path := filepath.Join(dir, "control")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newFake()
	serveOn(t, l, s, Options{})
	if out, err := reload(path, nobody); err == nil || !strings.Contains(out, "control: permission denied: dial unix "+path) {
		t.Errorf("with mode 0600 it says %q, %v", out, err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := reload(path, nobody); err == nil || !strings.Contains(out, "control: reload: permission denied: this is for root and UID 0, not for UID 65534") {
		t.Errorf("with mode 0666 it says %q, %v", out, err)
	}
	if len(s.requests()) != 0 {
		t.Error("the supervisor was asked all the same")
	}
	// Whatever it asks.
	if _, err := connect(t, path).Status(bounded(t)); err != nil {
		t.Errorf("root, afterwards: %v", err)
	}

	// A service of another user is that user's, and root's.
	others := filepath.Join(dir, "others")
	l, err = Listen(others)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(others, 0o666); err != nil {
		t.Fatal(err)
	}
	srv := NewServer(s, Options{})
	srv.uid = nobody
	serveBy(t, srv, l)
	for _, c := range []struct {
		uid  uint32
		want bool
	}{{nobody, true}, {0, true}, {somebody, false}} {
		if out, err := reload(others, c.uid); (err == nil) != c.want {
			t.Errorf("a service of UID %d serves UID %d: %v, %s", nobody, c.uid, err, out)
		}
	}
	if n := len(s.requests()); n != 2 {
		t.Errorf("the supervisor was asked %d times, want 2", n)
	}
}
