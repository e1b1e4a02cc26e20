package keepalive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

func init() { helpers["generation"] = generation }

// What a generation inherits.
const (
	fdListener = 3 + iota
	fdIn       // connections come by this socket
	fdOut      // and leave by this one
)

// generation is a server in a process of its own. It says "ready" when it
// serves, adopts what comes in until the other end closes, and when its standard
// input ends gives its connections away and reports its counts.
func generation([]string) error {
	ln, err := net.FileListener(os.NewFile(fdListener, "listener"))
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(echo)}
	t := New(srv, Options{})
	served := make(chan error, 1)
	go func() { served <- t.Serve(ln) }()
	adopted := make(chan error, 1)
	go func() { adopted <- adoptAll(t, ln, fdIn) }()
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	// Whoever drains while it still reads would give away only a part.
	if err := <-adopted; err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	if err := t.Drain(ctx, func(c Carried) error { return sendConn(fdOut, c) }); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return json.NewEncoder(os.Stdout).Encode(t.Counts())
}

// sendConn sends a connection, and closes it here.
func sendConn(sock int, c Carried) error {
	f, err := c.Conn.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer f.Close()
	// A message without a payload would look like the end.
	payload := append([]byte{0}, c.ReadAhead...)
	if err := unix.Sendmsg(sock, payload, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		return fmt.Errorf("send a connection with %d bytes read ahead: %w", len(c.ReadAhead), err)
	}
	return c.Conn.Close()
}

// adoptAll adopts what comes by sock until it ends.
func adoptAll(t *Tracker, ln net.Listener, sock int) error {
	payload := make([]byte, 1<<17)
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		n, oobn, flags, _, err := unix.Recvmsg(sock, payload, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
		if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			return fmt.Errorf("a connection was cut in transfer (flags %#x)", flags)
		}
		msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return err
		}
		fds, err := unix.ParseUnixRights(&msgs[0])
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fds[0]), "connection")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return err
		}
		if err := t.Adopt(ln, c, payload[1:n]); err != nil {
			return err
		}
	}
}

// blocking returns ln's socket as a file in blocking mode. To pass on one in
// non-blocking mode os/exec would clear that mode, and with it clear it for the
// generation that accepts on the socket; so it is clear before the first starts.
func blocking(t *testing.T, ln *net.TCPListener) *os.File {
	t.Helper()
	f, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "listener")
}

// A process is a generation under way.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

// startProcess starts a generation that takes over what comes by in, and waits
// until it serves.
func startProcess(t *testing.T, ln, in *os.File) (p *process, next *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := os.NewFile(uintptr(pair[0]), "out")
	next = os.NewFile(uintptr(pair[1]), "in")
	cmd := helpertest.Command(t, "generation")
	// The race detector would make each exit take a second.
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{ln, in, out}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = &process{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	in.Close()
	out.Close()
	if line, err := p.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("generation said %q (%v), want ready", line, err)
	}
	return p, next
}

// drain tells the generation to go, and waits for it.
func (p *process) drain(t *testing.T) (c Counts) {
	t.Helper()
	p.stdin.Close()
	if err := json.NewDecoder(p.out).Decode(&c); err != nil {
		t.Fatalf("read the generation's counts: %v", err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("generation: %v", err)
	}
	return c
}

// TestProcesses is TestChain with a process for each server.
func TestProcesses(t *testing.T) {
	for _, order := range []string{"overlap", "restart"} {
		t.Run(order, func(t *testing.T) {
			leaktest.Check(t)
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer tcp.Close()
			ln := blocking(t, tcp.(*net.TCPListener))
			defer ln.Close()

			// The first one has no predecessor: what comes in is at its end.
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			unix.Close(pair[0])
			old, in := startProcess(t, ln, os.NewFile(uintptr(pair[1]), "in"))
			l := startLoad(t, tcp.Addr().String(), 3)
			var total Counts
			for range *generations {
				l.progress(t, 3)
				var c Counts
				if order == "overlap" {
					next, nextIn := startProcess(t, ln, in)
					c = old.drain(t)
					old, in = next, nextIn
				} else {
					c = old.drain(t)
					old, in = startProcess(t, ln, in)
				}
				total.Idle += c.Idle
				total.Partial += c.Partial
				if c.Live != 0 || c.Refused != 0 || c.Cut != 0 {
					t.Errorf("after the drain: %+v", c)
				}
			}
			l.check(t, false)
			t.Logf("%d generations, taken idle %d, in mid-request %d", *generations, total.Idle, total.Partial)
			if total.Idle == 0 || total.Partial == 0 {
				t.Errorf("taken idle %d, in mid-request %d: want both", total.Idle, total.Partial)
			}
			old.drain(t)
			in.Close()
		})
	}
}
