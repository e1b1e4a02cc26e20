package accepting

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
)

const inTime = time.Minute // bounds every wait

// A program is one that was given a socket.
type program struct {
	*testing.T
	cmd     *exec.Cmd
	in      io.Closer
	out     *bufio.Scanner
	sockets []Socket
	watch   *Watch
}

func start(t *testing.T, cmd *exec.Cmd, file *os.File) *program {
	t.Helper()
	p := &program{T: t, cmd: cmd, sockets: Sockets([]activation.NamedFile{{Name: "web", File: file}})}
	if len(p.sockets) != 1 {
		t.Fatalf("clients come to %v, want one socket", p.sockets)
	}
	p.watch = New(p.sockets, func() []int { return []int{cmd.Process.Pid} })
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewScanner(out)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return p
}

// heard returns the next line that the program says.
func (p *program) heard() string {
	p.Helper()
	if !p.out.Scan() {
		p.Fatalf("the program says nothing: %v", p.out.Err())
	}
	return p.out.Text()
}

func (p *program) await() (View, error) {
	ctx, cancel := context.WithTimeout(p.Context(), inTime)
	defer cancel()
	return p.watch.Await(ctx, nil, nil)
}

func (p *program) address() string { return p.sockets[0].Address }

// socket returns a listener, or a datagram socket.
func socket(t *testing.T, network, address string) *os.File {
	t.Helper()
	var s io.Closer
	var err error
	switch network {
	case "udp", "unixgram":
		s, err = net.ListenPacket(network, address)
	default:
		s, err = net.Listen(network, address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	f, err := s.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestWaits: every kind of waiting is seen, and by its name.
func TestWaits(t *testing.T) {
	for _, c := range []struct{ helper, network, by string }{
		{"accept", "tcp", "accept"},
		{"accept4", "tcp", "accept4"},
		{"accept4", "unix", "accept4"},
		{"poll", "tcp", "p?poll"},
		{"select", "tcp", "p?select6?"},
		{"epoll", "tcp", "epoll"},
		{"epoll, at most once", "tcp", "epoll"},
		{"epoll", "udp", "epoll"},
		{"recvfrom", "udp", "recvfrom"},
		{"recvfrom", "unixgram", "recvfrom"},
		{"io_uring", "tcp", "io_uring"},
	} {
		t.Run(c.helper+" "+c.network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if strings.HasPrefix(c.network, "unix") {
				address = filepath.Join(t.TempDir(), "socket")
			}
			p := start(t, helpertest.Command(t, c.helper), socket(t, c.network, address))
			if word := p.heard(); word != "in place" {
				t.Skip(word)
			}
			v, err := p.await()
			if err != nil {
				t.Fatalf("%v; it %s", err, v.Diagnosis(nil))
			}
			w := v.Waits[0]
			if w.PID != p.cmd.Process.Pid || w.Socket != p.sockets[0] || !regexp.MustCompile("^"+c.by+"$").MatchString(w.By) {
				t.Errorf("got %+v", w)
			}
			if !slices.Equal(v.Accepting(), Inodes(p.sockets)) || len(v.Missing(nil)) != 0 {
				t.Errorf("accepting %v, missing %v", v.Accepting(), v.Missing(nil))
			}
		})
	}
}

// TestWaitsNot: a program that has the socket, and nothing more, does not wait, and
// is described.
func TestWaitsNot(t *testing.T) {
	for _, c := range []struct{ helper, says string }{
		{"hold", "holds ADDRESS and does not wait on it"},
		{"close", "does not hold ADDRESS"},
		{"poll to write", "holds ADDRESS and does not wait on it"},
		{"epoll to write", "holds ADDRESS and does not wait on it"},
		{"Go listener", "holds ADDRESS, and no goroutine of it accepts on it"},
		{"elsewhere", "holds ADDRESS and does not wait on it; listens on WORD itself"},
	} {
		t.Run(c.helper, func(t *testing.T) {
			p := start(t, helpertest.Command(t, c.helper), socket(t, "tcp", "127.0.0.1:0"))
			word := p.heard()
			v := p.watch.Look()
			if v.Accepts(nil) || len(v.Missing(nil)) != 1 || len(v.Denied) > 0 || v.Processes != 1 {
				t.Errorf("got %+v", v)
			}
			want := strings.NewReplacer("ADDRESS", p.address(), "WORD", word).Replace(c.says)
			if got := v.Diagnosis(nil); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestGoListener: a program of Go accepts once a goroutine calls Accept, and not when
// the listener is made.
func TestGoListener(t *testing.T) {
	p := start(t, helpertest.Command(t, "Go listener"), socket(t, "tcp", "127.0.0.1:0"))
	p.heard()
	if v := p.watch.Look(); v.Accepts(nil) || v.dormant[p.sockets[0].Inode] == 0 {
		t.Errorf("before Accept: %+v", v)
	}
	p.in.Close()
	if v, err := p.await(); err != nil || v.Waits[0].By != "epoll" {
		t.Errorf("in Accept: %+v, %v", v, err)
	}
}

// TestGoTakes: a program of Go that is too busy to wait is seen by what it takes.
func TestGoTakes(t *testing.T) {
	p := start(t, helpertest.Command(t, "Go, once"), socket(t, "tcp", "127.0.0.1:0"))
	p.heard()
	c, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	poll.Until(t, "the signal of a client", func() bool {
		if v := p.watch.Look(); v.Accepts(nil) {
			t.Fatalf("before Accept: %+v", v.Waits)
		}
		return len(p.watch.signalled) == 1
	})
	p.in.Close()
	if word := p.heard(); word != "done" {
		t.Fatalf("it says %q", word)
	}
	if v := p.watch.Look(); !v.Accepts(nil) || v.Waits[0].By != "epoll" {
		t.Errorf("after Accept: %+v", v)
	}
}

// TestOneShot: an epoll set that has told of a client is disarmed until the program
// says otherwise.
func TestOneShot(t *testing.T) {
	p := start(t, helpertest.Command(t, "epoll, at most once"), socket(t, "tcp", "127.0.0.1:0"))
	p.heard()
	c, err := net.Dial("tcp", p.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if word := p.heard(); word != "woken" {
		t.Fatalf("it says %q", word)
	}
	if v := p.watch.Look(); v.Accepts(nil) {
		t.Errorf("got %+v", v.Waits)
	}
}

// TestConnection: a program that has accepted a connection counts, however busy it is,
// and one that only holds a connection from before does not.
func TestConnection(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(t.TempDir(), "socket")
			}
			p := start(t, helpertest.Command(t, "connection"), socket(t, network, address))
			c, err := net.Dial(network, p.address())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			p.heard()
			v := p.watch.Look()
			if len(v.Waits) != 1 || v.Waits[0].By != byConnection {
				t.Errorf("got %+v; it %s", v.Waits, v.Diagnosis(nil))
			}
			if network == "tcp" {
				want := v.Waits[0].Socket.Inode
				if table := tableOf(p.sockets[0].tcp); len(table) == 0 || !p.sockets[0].accepted(table[0].Local) || table[0].Inode == want {
					t.Errorf("without sock_diag the connections are %+v", table)
				}
			}
			again := New(p.sockets, p.watch.processes)
			if v := again.Look(); v.Accepts(nil) {
				t.Errorf("of a connection from before: %+v", v.Waits)
			}
		})
	}
}

// TestBusy: a program that has so many clients that it never waits for one is seen by
// the connections that it has for a moment each.
func TestBusy(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) { testBusy(t, network) })
	}
}

func testBusy(t *testing.T, network string) {
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "socket")
	}
	p := start(t, helpertest.Command(t, "busy"), socket(t, network, address))
	p.heard()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if c, err := net.Dial(network, p.address()); err == nil {
					c.Read(make([]byte, 1)) // until it is closed
					c.Close()
				}
			}
		})
	}
	if v, err := p.await(); err != nil || v.Waits[0].By != byConnection {
		t.Errorf("got %+v, %v; it %s", v.Waits, err, v.Diagnosis(nil))
	}
}

// TestChurn: sockets that come and go are a doubt, and not of a program that listens
// elsewhere.
func TestChurn(t *testing.T) {
	w := New(nil, nil)
	held := map[int]*Socket{3: {}}
	var v View
	for _, others := range [][]uint32{{1}, {1, 2}, {1, 3}} {
		if v.Doubtful() {
			t.Errorf("in doubt before %v", others)
		}
		w.noteChurn(&v, &process{pid: 7, holds: held, others: others})
	}
	if !v.Doubtful() {
		t.Error("in no doubt of a process whose sockets come and go")
	}
	ln := socket(t, "tcp", "127.0.0.1:0")
	v.others = Inodes(Sockets([]activation.NamedFile{{Name: "own", File: ln}}))
	if v.Doubtful() {
		t.Error("in doubt of one that listens elsewhere")
	}
}

// TestNeed: with several sockets, those that are needed must all be waited on.
func TestNeed(t *testing.T) {
	first, second := socket(t, "tcp", "127.0.0.1:0"), socket(t, "tcp", "127.0.0.1:0")
	p := start(t, helpertest.Command(t, "epoll"), first)
	p.heard()
	sockets := Sockets([]activation.NamedFile{{Name: "web", File: first}, {Name: "admin", File: second}})
	w := New(sockets, p.watch.processes)
	v := w.Look()
	if !v.Accepts(nil) || !v.Accepts([]uint32{sockets[0].Inode}) || v.Accepts(Inodes(sockets)) {
		t.Errorf("got %+v", v)
	}
	if got, want := v.Diagnosis(Inodes(sockets)), "does not hold "+sockets[1].Address; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	_, err := w.Await(ctx, Inodes(sockets), func(View) {
		if looks++; looks == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}

// TestNoProcess: one that has ended is not one that may not be seen.
func TestNoProcess(t *testing.T) {
	p := start(t, helpertest.Command(t, "accept"), socket(t, "tcp", "127.0.0.1:0"))
	p.heard()
	for _, zombie := range []bool{true, false} {
		p.cmd.Process.Kill()
		if zombie {
			var info unix.Siginfo
			if err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
				t.Fatal(err)
			}
		} else {
			p.cmd.Wait()
		}
		v := p.watch.Look()
		if v.Accepts(nil) || len(v.Denied) > 0 {
			t.Errorf("zombie %v: %+v", zombie, v)
		}
	}
	if got, want := p.watch.Look().Diagnosis(nil), "does not hold "+p.address()+"; no process of it is left"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestDenied: a process that may not be looked into is named, with the right that is
// missing.
func TestDenied(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have a process of another user: run the test as root")
	}
	p := start(t, helpertest.Command(t, "setuid"), socket(t, "tcp", "127.0.0.1:0"))
	p.heard()
	if v := p.watch.Look(); !v.Accepts(nil) || len(v.Denied) > 0 {
		t.Errorf("with all rights: %+v", v)
	}
	done := make(chan View)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		if err := dropPtrace(); err != nil {
			t.Error(err)
		}
		done <- p.watch.Look()
	}()
	v := <-done
	if v.Accepts(nil) || len(v.Denied) != 1 || v.Denied[0].PID != p.cmd.Process.Pid || v.Denied[0].UID != 65534 {
		t.Fatalf("got %+v", v)
	}
	want := fmt.Sprintf("cannot look into PID %d of UID 65534: permission denied (UID 0 may do that with CAP_SYS_PTRACE only)", p.cmd.Process.Pid)
	if got := v.Diagnosis(nil); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// dropPtrace takes CAP_SYS_PTRACE from this thread.
func dropPtrace() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_SYS_PTRACE
	return unix.Capset(&header, &data[0])
}

// TestOthers: the runtimes of other languages are seen, too.
func TestOthers(t *testing.T) {
	for _, c := range []struct{ name, command, code string }{
		{"python3, selectors", "python3", `import socket, socketserver
s = socketserver.TCPServer(("", 0), None, bind_and_activate=False)
s.socket = socket.socket(fileno=3)
print("in place", flush=True)
s.serve_forever()`},
		{"python3, blocking", "python3", `import socket
s = socket.socket(fileno=3)
s.setblocking(True)
print("in place", flush=True)
s.accept()`},
		{"python3, with a timeout", "python3", `import socket
s = socket.socket(fileno=3)
s.settimeout(60)
print("in place", flush=True)
s.accept()`},
		{"python3, asyncio", "python3", `import asyncio, socket
async def main():
    server = await asyncio.start_server(lambda r, w: None, sock=socket.socket(fileno=3))
    print("in place", flush=True)
    await server.serve_forever()
asyncio.run(main())`},
		{"node", "node", `require("http").createServer(() => {}).listen({fd: 3}, () => console.log("in place"))`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, err := exec.LookPath(c.command)
			if err != nil {
				t.Skipf("%v: install it to run this", err)
			}
			flag := map[string]string{"python3": "-c", "node": "-e"}[c.command]
			p := start(t, exec.CommandContext(t.Context(), path, flag, c.code), socket(t, "tcp", "127.0.0.1:0"))
			p.heard()
			v, err := p.await()
			if err != nil {
				t.Fatalf("%v; it %s", err, v.Diagnosis(nil))
			}
			t.Logf("by %s", v.Waits[0].By)
		})
	}
}

// TestParse: lines of the kernel's.
func TestParse(t *testing.T) {
	e, ok := parseEpoll("tfd:        5 events: 8000201d data: 700000ab000001  pos:0 ino:1a sdev:8\n")
	if want := (epollEntry{5, 0x8000201d, 0x700000ab000001, 26, 8}); !ok || e != want {
		t.Errorf("got %+v, %v\nwant %+v", e, ok, want)
	}
	for _, line := range []string{"", "pos:\t0", "tfd: x", "tfd: 5 events: 1d"} {
		if e, ok := parseEpoll(line); ok {
			t.Errorf("%q is taken for %+v", line, e)
		}
	}
	call, args, ok := parseCall(fmt.Sprintf("%d 0x3 0x7ffd 0x10 0x80000 0x0 0x0 0x7ffd 0x7f00\n", unix.SYS_ACCEPT4))
	if want := [6]uint64{3, 0x7ffd, 16, 0x80000}; !ok || call.name != "accept4" || args != want {
		t.Errorf("got %+v %v, %v", call, args, ok)
	}
	for _, text := range []string{"running\n", "-1 0x7ffd 0x7f00\n", "", "1 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0"} {
		if call, _, ok := parseCall(text); ok {
			t.Errorf("%q is taken for %+v", text, call)
		}
	}
}

// TestRing: what is under way in an io_uring says nothing of a socket, if the process
// has more sockets than operations.
func TestRing(t *testing.T) {
	const one = "SqMask: 0x3\nPollList:\n  op=13, task_works=0\n"
	first, second, datagram := &Socket{Inode: 1, stream: true}, &Socket{Inode: 2, stream: true}, &Socket{Inode: 3}
	for _, c := range []struct {
		holds map[int]*Socket
		text  string
		waits int
	}{
		{map[int]*Socket{3: first}, one, 1},
		{map[int]*Socket{3: first, 4: first}, one, 1},
		{map[int]*Socket{3: first, 4: second}, one, 0},
		{map[int]*Socket{3: first, 4: second}, one + "  op=13, task_works=0\n", 2},
		{map[int]*Socket{3: datagram}, one, 0},
		{map[int]*Socket{3: datagram}, strings.ReplaceAll(one, "13", "10"), 1},
		{map[int]*Socket{3: first}, strings.ReplaceAll(one, "13", "6"), 0},
		{map[int]*Socket{3: first}, "", 0},
	} {
		p := &process{holds: c.holds}
		p.ring(c.text)
		if len(p.waits) != c.waits {
			t.Errorf("%d sockets, %q: got %+v, want %d", len(c.holds), c.text, p.waits, c.waits)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("tfd:        5 events: 8000201d data: 700000ab000001  pos:0 ino:1a sdev:8\n")
	f.Add("43 0x3 0x7ffd 0x10 0x80000 0x0 0x0 0x7ffd 0x7f00\n")
	f.Fuzz(func(t *testing.T, text string) {
		parseEpoll(text)
		parseCall(text)
	})
}

func BenchmarkLook(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := New(Sockets([]activation.NamedFile{{Name: "web", File: f}}), func() []int { return []int{os.Getpid()} })
	if w.Look().Processes != 1 {
		b.Fatal("it sees no process")
	}
	for b.Loop() {
		w.Look()
	}
}
