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

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// An owner runs what is posted to it, and takes note of what it is told.
type owner struct {
	t     *testing.T
	c     *Children
	calls chan func()
	told  chan string
	heard func(number uint64) // what a generation says before its main process ends
}

// own returns an owner of children with process groups.
func own(t *testing.T) *owner {
	t.Helper()
	return ownRestored(t, func(*Children) {})
}

// ownRestored has restore called before anything is watched.
func ownRestored(t *testing.T, restore func(c *Children)) *owner {
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
	restore(o.c)
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

// killDuringStart kills a generation, and expects its end to be told while something is
// being started, when only main processes are waited for.
func (o *owner) killDuringStart(g Generation, number uint64) {
	o.t.Helper()
	o.c.reaper.start(func() (int, error) {
		o.do(func() {
			if err := g.Kill(); err != nil {
				o.t.Error(err)
			}
		})
		o.expect(fmt.Sprint("exited ", number, ": ", generation.ExitStatus{Signal: int(unix.SIGKILL)}))
		o.expect(fmt.Sprint("emptied ", number))
		return 0, errors.New("not started")
	})
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
	})
	o.killDuringStart(g, 1)
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

// TestRestore: another Runner in this process goes on with a generation, up to its end;
// with one whose end was noticed, and not told yet; and with one that is gone.
func TestRestore(t *testing.T) {
	leaktest.Check(t)
	o := own(t)
	g := o.start(1, "/bin/sh", "echo first words >&2; exec sleep 1000")
	o.expect("started 1")
	poll.Until(t, "its first words", func() bool { return len(g.Output()) > 0 })
	resume, err := o.c.Halt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer resume()
	var files []*os.File
	var running State
	o.do(func() {
		running = g.Snapshot(func(f *os.File) fd.Ref {
			d, err := fd.Duplicate(f, f.Name())
			if err != nil {
				t.Error(err)
			}
			files = append(files, d)
			return fd.Ref(len(files))
		})
	})
	reaped, gone := running, running
	reaped.PID, reaped.PGID, reaped.Reaped = noProcess(t), noProcess(t), &generation.ExitStatus{Code: 5}
	gone.PID, gone.PGID, gone.Main, gone.Exited, gone.Emptied = noProcess(t), noProcess(t), false, true, true
	pipe := func() *os.File { // for those that need one, and write nothing
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		return r
	}
	var heirs []Generation
	next := ownRestored(t, func(c *Children) {
		for number, st := range []State{running, reaped, gone} {
			if err := st.Check(RunnerState{}); err != nil {
				t.Error(err)
			}
			f := files[0]
			if number > 0 {
				f = pipe()
			}
			g, err := c.Restore(uint64(number+1), st, func(fd.Ref) *os.File { return f })
			if err != nil {
				t.Fatal(err)
			}
			heirs = append(heirs, g)
		}
	})
	next.do(next.c.Resume)
	next.expect("exited 2: " + generation.ExitStatus{Code: 5}.String())
	next.expect("emptied 2")
	next.do(func() {
		for i, want := range []bool{true, false, false} {
			if pid, alive := heirs[i].Main(); alive != want || pid < 2 {
				t.Errorf("generation %d has the main process %d, alive %v", i+1, pid, alive)
			}
		}
	})
	next.killDuringStart(heirs[0], 1)
	next.do(func() {
		if lines := heirs[0].Output(); !slices.Equal(lines, []string{"first words"}) {
			t.Errorf("its words are %q", lines)
		}
	})
	select {
	case text := <-next.told:
		t.Errorf("told %q", text)
	default:
	}
}

// noProcess returns a PID that no process has.
func noProcess(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil && !errors.Is(err, unix.ECHILD) {
		t.Fatal(err) // ECHILD: the reaper was faster
	}
	return cmd.Process.Pid
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
	orphan := exec.Command("true") // or as good as one: nobody knows it
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
		o.killDuringStart(g, 1)
		if err := orphan.Start(); err != nil {
			return 0, err
		}
		if err := unix.Waitid(unix.P_PID, orphan.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Error(err)
		}
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
	poll.Until(t, "the orphan is waited for", func() bool {
		return unix.Waitid(unix.P_PID, orphan.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil) == unix.ECHILD
	})
	orphan.Process.Release()
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
