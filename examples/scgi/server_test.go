package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/helpertest"
)

// A server is a testDispatcher in a process of its own.
type server struct {
	t       testing.TB
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string
	stopped bool
}

// startServer starts one, which has stopped without an error when t ends.
func startServer(t testing.TB, mode string, workers int) *server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Not helpertest.Command, which kills it before a Cleanup can stop it.
	s := &server{t: t, cmd: exec.Command(exe, mode, strconv.Itoa(workers))}
	s.cmd.Env = helpertest.Environ("dispatcher", "GORACE=atexit_sleep_ms=0") // a second for each worker
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.address = s.line()
	t.Cleanup(s.stop)
	return s
}

func (s *server) line() string {
	s.t.Helper()
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.t.Fatalf("the dispatcher says nothing: %v", err)
	}
	return strings.TrimSpace(line)
}

// replace replaces the workers.
func (s *server) replace() {
	s.t.Helper()
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		s.t.Fatal(err)
	}
	s.line()
}

func (s *server) stop() {
	s.t.Helper()
	if s.stopped {
		return
	}
	s.stopped = true
	s.in.Close()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the dispatcher ends with %v", err)
	}
}

// get asks for a path, and returns the PID of the worker that has answered.
func (s *server) get(ctx context.Context, path string) (int, error) {
	conn, err := s.ask(ctx, path, 0)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return readAnswer(bufio.NewReader(conn))
}

// ask sends a request less its body.
func (s *server) ask(ctx context.Context, path string, length int) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	header := "CONTENT_LENGTH\x00" + strconv.Itoa(length) + "\x00SCGI\x001\x00REQUEST_METHOD\x00GET\x00REQUEST_URI\x00" + path + "\x00SERVER_PROTOCOL\x00HTTP/1.1\x00"
	if _, err := fmt.Fprintf(conn, "%d:%s,", len(header), header); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// readAnswer reads a testWorker's answer.
func readAnswer(r *bufio.Reader) (pid int, err error) {
	answer, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		return 0, err
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	if status := answer.Get("Status"); status != "200 OK" {
		return 0, fmt.Errorf("status %s: %s", status, body)
	}
	return strconv.Atoi(string(body)) // an error for an answer that was cut short
}

// hold begins a request, and returns when a worker deals with it. finish ends it,
// and returns what became of it.
func (s *server) hold(ctx context.Context) (finish func() error, err error) {
	conn, err := s.ask(ctx, "/hold", 1)
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	if _, err := r.Peek(1); err != nil {
		conn.Close()
		return nil, err
	}
	return func() error {
		defer conn.Close()
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		_, err := readAnswer(r)
		return err
	}, nil
}
