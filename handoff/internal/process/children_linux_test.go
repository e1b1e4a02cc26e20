package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// An owner runs what is posted to it, and takes note of what it is told.
type owner struct {
	t     *testing.T
	c     *Children
	calls chan func()
	told  chan string
	heard func(number uint64) // what a generation says before its main process ends
}

// own returns an owner of children with process groups, and what it is told.
func own(t *testing.T) *owner {
	t.Helper()
	o := &owner{t: t, calls: make(chan func()), told: make(chan string, 16)}
	ended, over := make(chan struct{}), make(chan struct{})
	post := func(f func()) bool {
		select {
		case o.calls <- f:
			return true
		case <-ended:
			return false
		}
	}
	o.c = RestoreChildren(RunnerState{}, post, o, slog.New(slog.DiscardHandler))
	if err := o.c.Open(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(over)
		for {
			select {
			case f := <-o.calls:
				f()
			case <-ended:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(ended)
		<-over
		o.c.Close()
		for _, g := range o.c.list {
			g.Kill()
			g.Forget()
		}
	})
	return o
}

// do has the owner call f, and waits for it.
func (o *owner) do(f func()) {
	done := make(chan struct{})
	o.calls <- func() { f(); close(done) }
	<-done
}

// start starts a shell with a script as the generation number.
func (o *owner) start(number uint64, path, script string) (g Generation) {
	o.t.Helper()
	socket, err := os.Open(os.DevNull)
	if err != nil {
		o.t.Fatal(err)
	}
	o.do(func() {
		g, err = o.c.Start(Spec{Number: number, Path: path, Args: []string{path, "-c", script}, Env: os.Environ(), Socket: socket})
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return g
}

// expect waits for what the owner is told next.
func (o *owner) expect(want string) {
	o.t.Helper()
	select {
	case got := <-o.told:
		if !strings.HasPrefix(got, want) {
			o.t.Fatalf("told %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		o.t.Fatalf("not told %q", want)
	}
}

func (o *owner) Started(number uint64) { o.told <- fmt.Sprint("started ", number) }

func (o *owner) StartFailed(number uint64, err error) {
	o.told <- fmt.Sprint("start failed ", number, ": ", err)
}

func (o *owner) Exited(number uint64, status generation.ExitStatus) {
	o.told <- fmt.Sprint("exited ", number, ": ", status)
}

func (o *owner) Emptied(number uint64) { o.told <- fmt.Sprint("emptied ", number) }

func (o *owner) Heard(number uint64) {
	if o.heard != nil {
		o.heard(number)
	}
}

// TestLife: a generation is started, ends, and has left its last words.
func TestLife(t *testing.T) {
	leaktest.Check(t)
	o := own(t)
	g := o.start(1, "/bin/sh", "echo last words >&2; exit 3")
	o.expect("started 1")
	o.expect("exited 1: " + generation.ExitStatus{Code: 3}.String())
	o.expect("emptied 1")
	o.do(func() {
		if pid, alive := g.Main(); pid == 0 || alive {
			t.Errorf("the main process is %d, alive %v", pid, alive)
		}
		if lines := g.Output(); !slices.Equal(lines, []string{"last words"}) {
			t.Errorf("its last words are %q", lines)
		}
	})
}

// TestNoProgram: where there is no program, nothing is left to wait for.
func TestNoProgram(t *testing.T) {
	leaktest.Check(t)
	o := own(t)
	g := o.start(1, "/bin/none", "")
	o.expect("start failed 1")
	o.do(func() {
		if pid, alive := g.Main(); pid != 0 || alive {
			t.Errorf("the main process is %d, alive %v", pid, alive)
		}
		if err := errors.Join(g.Signal(unix.SIGTERM), g.Kill(), g.Forget()); err != nil {
			t.Error(err)
		}
	})
}

// TestMainLeaves: a main process that ends, and has named another one, is none whose end
// is told. All of its group can be killed.
func TestMainLeaves(t *testing.T) {
	leaktest.Check(t)
	o := own(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	left := make(chan struct{})
	o.heard = func(number uint64) {
		var text [16]byte
		n, _ := r.Read(text[:])
		pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
		if err != nil {
			t.Errorf("%q", text[:n])
		}
		o.do(func() {
			g := o.c.list[number]
			if err := g.SetMain(os.Getpid()); err == nil {
				t.Error("this process is the main one of a generation")
			}
			if err := g.SetMain(pid); err != nil {
				t.Error(err)
			}
		})
		o.heard = nil
		close(left)
	}
	g := o.start(1, "/bin/sh", fmt.Sprintf("sleep 1000 & echo $! >/proc/%d/fd/%d", os.Getpid(), w.Fd()))
	defer w.Close()
	o.expect("started 1")
	<-left
	o.do(func() {
		if main, alive := g.Main(); !alive || !slices.Contains(g.Processes(), main) || !g.Contains(main) {
			t.Errorf("the main process is %d, alive %v, of %v", main, alive, g.Processes())
		}
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
	})
	o.expect("exited 1: " + generation.ExitStatus{Signal: int(unix.SIGKILL)}.String())
	o.expect("emptied 1")
}

// TestHalt: while they are halted no child is made, and nothing is told.
func TestHalt(t *testing.T) {
	leaktest.Check(t)
	o := own(t)
	g := o.start(1, "/bin/sh", "exec sleep 1000")
	o.expect("started 1")
	resume, err := o.c.Halt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	launched := make(chan struct{})
	go func() {
		defer close(launched)
		ended, err := o.c.Launch(t.Context(), exec.Command("true"))
		if err != nil {
			t.Error(err)
			return
		}
		if status := <-ended; status != (generation.ExitStatus{}) {
			t.Error(status)
		}
	}()
	o.do(func() { g.Kill() })
	if o.c.reaper.nursery.quietly(func() {}) || o.c.reaper.reaping.TryLock() {
		t.Error("children are made or waited for")
	}
	select {
	case <-launched:
		t.Error("a child was made")
	case text := <-o.told:
		t.Errorf("told %q", text)
	default:
	}
	resume()
	<-launched
	o.expect("exited 1")
}

// TestSlowStart: what ends while a program is being started is told, though that takes
// long; and the start is left alone, and waits for what it has made itself.
func TestSlowStart(t *testing.T) {
	leaktest.Check(t)
	o := own(t)
	g := o.start(1, "/bin/sh", "exec sleep 1000")
	o.expect("started 1")
	ended, err := o.c.Launch(t.Context(), exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	err = o.c.reaper.start(func() (int, error) {
		slow := exec.Command("sh", "-c", "exit 7")
		if err := slow.Start(); err != nil {
			return 0, err
		}
		// It has ended, and can be waited for.
		if err := unix.Waitid(unix.P_PID, slow.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Error(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := o.c.Halt(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("halted while a program is being started: %v", err)
		}
		o.start(2, "/bin/sh", "exec sleep 1000")
		o.expect("started 2") // another start does not wait for this one
		o.do(func() { g.Kill() })
		o.expect("exited 1: " + generation.ExitStatus{Signal: int(unix.SIGKILL)}.String())
		o.expect("emptied 1")
		o.c.reaper.mu.Lock()
		for pid, launched := range o.c.reaper.known {
			if launched != nil {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		o.c.reaper.mu.Unlock()
		<-ended
		slow.Wait()
		if code := slow.ProcessState.ExitCode(); code != 7 {
			t.Errorf("exit status %d, want 7", code)
		}
		return 0, errors.New("not started")
	})
	if err == nil {
		t.Error("it was started")
	}
}

// TestStartedTooLate: a program that has come up after its generation was given up is
// killed. It would accept beside those that serve, and nobody would hear it.
func TestStartedTooLate(t *testing.T) {
	leaktest.Check(t)
	c := NewChildren(nil, nil, slog.New(slog.DiscardHandler))
	g := &child{c: c, number: 1}
	c.list[1] = g
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Signal(syscall.SIGTERM) })
	defer late.Stop()
	if err := g.Forget(); err != nil {
		t.Fatal(err)
	}
	g.started(cmd.Process)
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ends with %v, want it killed", exit)
	}
}
