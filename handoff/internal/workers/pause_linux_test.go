package workers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// A prefork is a program of testdata/prefork.py.
type prefork struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Reader
}

// startPrefork returns when the workers have been made.
func startPrefork(t *testing.T, listener *os.File, workers int) *prefork {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	p := &prefork{t: t, cmd: exec.Command(python, "testdata/prefork.py", strconv.Itoa(workers))}
	p.cmd.Stderr = os.Stderr
	p.cmd.ExtraFiles = []*os.File{listener}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			p.cmd.Wait()
		}
	})
	p.out = bufio.NewReader(out)
	if line, err := p.out.ReadString('\n'); err != nil {
		t.Fatalf("the program says %q, %v", line, err)
	}
	return p
}

// processes lists the main process and the workers.
func (p *prefork) processes() []int {
	pid := p.cmd.Process.Pid
	list := []int{pid}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for word := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// stop tells it to end, and waits for that. Pausing the workers is what is tested.
func (p *prefork) stop(listener *os.File, paused bool) {
	p.t.Helper()
	if paused {
		ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
		defer cancel()
		pause := Begin(ctx, Program{p.cmd.Process.Pid, p.processes, []*os.File{listener}})
		defer pause.End()
		if err := ctx.Err(); err != nil {
			p.t.Errorf("the workers do not come to stand still: %v", err)
		}
		p.cmd.Process.Signal(syscall.SIGQUIT)
		pause.Signalled()
		pause.End()
	} else {
		p.cmd.Process.Signal(syscall.SIGQUIT)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the program ends with %v", err)
	}
}

// ask has a server send a byte back.
func ask(address net.Addr) error {
	c, err := net.DialTimeout(address.Network(), address.String(), poll.Patience)
	if err != nil {
		return err
	}
	defer c.Close()
	return askOn(c)
}

func askOn(c net.Conn) error {
	c.SetDeadline(time.Now().Add(poll.Patience))
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// TestStop: a program whose workers lose a client when they end loses none when they
// stand still before, as another takes its place under load.
func TestStop(t *testing.T) {
	const clients, workers, stops, between = 8, 4, 4, 30
	const most = 50                     // stops, until one that is not paused has lost a client
	const think = 20 * time.Millisecond // of a client, or the workers would not be idle at times
	for _, c := range []struct {
		network string
		paused  bool
	}{{"tcp", true}, {"unix", true}, {"tcp", false}} {
		t.Run(fmt.Sprintf("%s, paused %v", c.network, c.paused), func(t *testing.T) {
			leaktest.Check(t)
			ln, f := fdtest.Listening(t, c.network)
			program := startPrefork(t, f, workers)
			var served, lost atomic.Int64
			ctx, end := context.WithCancel(t.Context())
			var load sync.WaitGroup
			for range clients {
				load.Go(func() {
					for ctx.Err() == nil {
						if ask(ln.Addr()) == nil {
							served.Add(1)
						} else {
							lost.Add(1)
						}
						time.Sleep(think)
					}
				})
			}
			for n := 0; n < stops || !c.paused && lost.Load() == 0 && n < most; n++ {
				want := served.Load() + between
				poll.Until(t, "more were served", func() bool { return served.Load() >= want })
				next := startPrefork(t, f, workers)
				program.stop(f, c.paused)
				program = next
			}
			end()
			load.Wait()
			program.stop(f, true)
			t.Logf("%d served, %d lost", served.Load(), lost.Load())
			if served.Load() < stops*between {
				t.Error("too few were served")
			}
			if (lost.Load() == 0) != c.paused {
				t.Errorf("%d clients lost", lost.Load())
			}
		})
	}
}

// awaitAccepted waits until a worker has a connection.
func (p *prefork) awaitAccepted(program Program) {
	p.t.Helper()
	q := &Pause{listeners: make(map[string]bool), ports: make(map[int]bool), paths: make(map[string]bool)}
	for _, l := range program.Listeners {
		q.add(l)
	}
	poll.Until(p.t, "a worker accepts", func() bool {
		connections, _ := q.connections()
		return slices.ContainsFunc(p.processes(), func(pid int) bool {
			return slices.ContainsFunc(socketsOf(pid), func(inode string) bool { return connections[inode] })
		})
	})
}

// TestBusy: a worker with a connection does not stand still, and a pause that ends
// without a signal changes nothing.
func TestBusy(t *testing.T) {
	leaktest.Check(t)
	const workers = 3
	ln, f := fdtest.Listening(t, "tcp")
	program := startPrefork(t, f, workers)
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := Program{program.cmd.Process.Pid, program.processes, []*os.File{f}}
	program.awaitAccepted(p)
	ctx, cancel := context.WithTimeout(t.Context(), 500*lookEvery) // for the others to stand still
	defer cancel()
	pause := Begin(ctx, p)
	if ctx.Err() == nil {
		t.Error("it does not wait for the worker that is busy")
	}
	if n := len(pause.still); n != workers-1 {
		t.Errorf("%d workers stand still, want %d", n, workers-1)
	}
	if err := askOn(c); err != nil {
		t.Errorf("the client of the busy one: %v", err)
	}
	// One that is killed meanwhile is nothing to wait for.
	for pid := range pause.still {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		break
	}
	pause.End()
	for range 2 * workers {
		if err := ask(ln.Addr()); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	}
	program.stop(f, true)
}

// TestComputes: whoever is stopped outside of system calls might be about to make one.
func TestComputes(t *testing.T) {
	leaktest.Check(t)
	for _, c := range []struct {
		command []string
		want    bool
	}{
		{[]string{"/bin/sh", "-c", "while :; do :; done"}, true},
		{[]string{"sleep", "60"}, false},
	} {
		cmd := exec.Command(c.command[0], c.command[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(poll.Patience)
		seen := false
		for !seen && time.Now().Before(deadline) { // it has to begin first
			cmd.Process.Signal(syscall.SIGSTOP)
			if !awaitStopped(cmd.Process.Pid, deadline) {
				t.Fatal("it does not stop")
			}
			text, err := os.ReadFile(filepath.Join(procDir(cmd.Process.Pid), "syscall"))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v: %s", c.command, text)
			seen = computes(cmd.Process.Pid) == c.want
			cmd.Process.Signal(syscall.SIGCONT)
			time.Sleep(time.Millisecond)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if !seen {
			t.Errorf("%v does not come to stand where computes is %t", c.command, c.want)
		}
	}
}

// TestUnseen: where nobody can tell who has a connection, nobody is stopped.
func TestUnseen(t *testing.T) {
	leaktest.Check(t)
	ln, f := fdtest.Listening(t, "tcp")
	program := startPrefork(t, f, 2)
	vsock, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) // in no table
	if err != nil {
		t.Skip(err)
	}
	other := os.NewFile(uintptr(vsock), "vsock")
	defer other.Close()
	if err := errors.Join(unix.Bind(vsock, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: unix.VMADDR_PORT_ANY}), unix.Listen(vsock, 1)); err != nil {
		t.Skip(err)
	}
	pause := Begin(t.Context(), Program{program.cmd.Process.Pid, program.processes, []*os.File{f, other}})
	if n := len(pause.still); n != 0 {
		t.Errorf("%d workers stand still", n)
	}
	pause.End()
	if err := ask(ln.Addr()); err != nil {
		t.Error(err)
	}
	program.stop(f, true)
}
