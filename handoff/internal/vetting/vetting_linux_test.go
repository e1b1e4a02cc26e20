package vetting

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/accepting"
	"github.com/holdfast-go/holdfast/handoff/internal/probe"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

const inTime = time.Minute // bounds every wait

func TestMain(m *testing.M) {
	helpertest.Main(m, map[string]func(args []string) error{
		"serve":  serve,
		"idle":   func([]string) error { return rest() },
		"late":   func([]string) error { return errors.Join(rest(), serve([]string{"1", "200"})) },
		"nobody": func([]string) error { return errors.Join(syscall.Setuid(65534), serve([]string{"1", "200"})) },
		"vet":    vet,
	})
}

// rest waits until the test closes standard input.
func rest() error {
	fmt.Println("in place")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// serve answers at so many of the given sockets, with a status.
func serve(args []string) error {
	n, _ := strconv.Atoi(args[0])
	status, _ := strconv.Atoi(args[1])
	failed := make(chan error)
	for i := range n {
		ln, err := net.FileListener(os.NewFile(uintptr(3+i), "given"))
		if err != nil {
			return err
		}
		go func() {
			failed <- http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "as told", status) }))
		}()
	}
	fmt.Println("in place")
	return <-failed
}

// A scene is some sockets, and what is told of one who is vetted on them.
type scene struct {
	*testing.T
	files   []*os.File
	checks  Checks
	waiting chan string
	doubt   chan string
	done    chan Outcome
}

func newScene(t *testing.T, sockets int) *scene {
	t.Helper()
	leaktest.Check(t)
	s := &scene{T: t, waiting: make(chan string, 100), doubt: make(chan string, 100), done: make(chan Outcome, 1)}
	var named []activation.NamedFile
	for i := range sockets {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		s.files = append(s.files, f)
		named = append(named, activation.NamedFile{Name: fmt.Sprint("socket", i), File: f})
	}
	s.checks.Sockets = accepting.Sockets(named)
	s.checks.Target.Listeners = probe.Listeners(named)
	return s
}

func (s *scene) start(helper string, args ...string) (*exec.Cmd, io.Closer) {
	s.Helper()
	cmd := helpertest.Command(s.T, helper, args...)
	cmd.ExtraFiles = s.files
	in, err := cmd.StdinPipe()
	if err != nil {
		s.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if lines := bufio.NewScanner(out); !lines.Scan() || lines.Text() != "in place" {
		s.Fatalf("it says %q", lines.Text())
	}
	return cmd, in
}

func processes(cmd *exec.Cmd) func() []int { return func() []int { return []int{cmd.Process.Pid} } }

func (s *scene) vet() *Vetting {
	v := New(s.checks, Observer{
		Waiting: func(why string) { s.waiting <- why },
		Doubt:   func(text string) { s.doubt <- text },
		Done:    func(o Outcome) { s.done <- o },
	})
	s.Cleanup(v.Stop)
	return v
}

func next[T any](s *scene, c chan T) (v T) {
	s.Helper()
	select {
	case v = <-c:
	case <-time.After(inTime):
		s.Fatal("nothing is told")
	}
	return v
}

func (s *scene) address(i int) string { return s.checks.Sockets[i].Address }

// TestSays: one that accepts is ready once it has said so, and not before.
func TestSays(t *testing.T) {
	s := newScene(t, 1)
	s.checks.Says, s.checks.Patience = true, inTime
	v := s.vet()
	cmd, _ := s.start("serve", "1", "200")
	v.Started(processes(cmd))
	if why := next(s, s.waiting); !strings.Contains(why, "has not said READY=1") {
		next(s, s.waiting) // it was not in Accept yet
	}
	select {
	case o := <-s.done:
		t.Fatalf("ready before it said so: %+v", o)
	default:
	}
	v.Said()
	v.Said()
	if o := next(s, s.done); o.Unfit != "" || o.Doubt != "" || len(o.Accepting) != 1 {
		t.Errorf("got %+v", o)
	}
}

// TestPatience: one that says so and never accepts is unfit, with what it does instead.
func TestPatience(t *testing.T) {
	s := newScene(t, 1)
	s.checks.Says, s.checks.Patience = true, 50*time.Millisecond
	v := s.vet()
	cmd, _ := s.start("idle")
	v.Started(processes(cmd))
	v.Said()
	want := "50ms after READY=1 it holds " + s.address(0) + " and does not wait on it"
	if o := next(s, s.done); o.Unfit != want || o.Doubt != "" {
		t.Errorf("got %+v\nwant %s", o, want)
	}
}

// TestWithoutSaying: one that says nothing is ready when it accepts.
func TestWithoutSaying(t *testing.T) {
	s := newScene(t, 1)
	v := s.vet()
	cmd, in := s.start("late")
	v.Started(processes(cmd))
	if got, want := next(s, s.waiting), "holds "+s.address(0)+" and does not wait on it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	in.Close()
	if o := next(s, s.done); o.Unfit != "" || len(o.Accepting) != 1 {
		t.Errorf("got %+v", o)
	}
}

// TestPredecessor: what the predecessor waits on, or did, must be waited on.
func TestPredecessor(t *testing.T) {
	for _, c := range []struct {
		name             string
		old, known, want int // the predecessor waits on so many, and was seen to
	}{
		{"all that the predecessor waits on", 2, 0, 1},
		{"all that it was seen to wait on", 1, 2, 1},
		{"none that it does not wait on", 1, 0, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, 2)
			old, _ := s.start("serve", strconv.Itoa(c.old), "200")
			s.checks.Predecessor = processes(old)
			s.checks.Known = accepting.Inodes(s.checks.Sockets[:c.known])
			s.checks.Says, s.checks.Patience = true, 200*time.Millisecond
			if c.want < 0 {
				s.checks.Patience = inTime
			}
			// So that there is something to see: it is in Accept by now.
			w := accepting.New(s.checks.Sockets, s.checks.Predecessor)
			if _, err := w.Await(t.Context(), accepting.Inodes(s.checks.Sockets[:c.old]), nil); err != nil {
				t.Fatal(err)
			}
			v := s.vet()
			cmd, _ := s.start("serve", "1", "200")
			v.Started(processes(cmd))
			v.Said()
			o := next(s, s.done)
			want := ""
			if c.want >= 0 {
				want = "200ms after READY=1 it holds " + s.address(c.want) + " and does not wait on it"
			}
			if o.Unfit != want {
				t.Errorf("got  %q\nwant %q", o.Unfit, want)
			}
		})
	}
}

// TestProbe: one that accepts, and answers badly, is unfit.
func TestProbe(t *testing.T) {
	for status, want := range map[string]string{"200": "", "500": "it answered 500 Internal Server Error: as told"} {
		t.Run(status, func(t *testing.T) {
			s := newScene(t, 1)
			p, err := probe.Parse("http://socket0/")
			if err != nil {
				t.Fatal(err)
			}
			s.checks.Probe, s.checks.ProbeTimeout = &p, inTime
			if want != "" {
				s.checks.ProbeTimeout = time.Second
			}
			old, _ := s.start("serve", "1", "200")
			s.checks.Predecessor = processes(old)
			v := s.vet()
			cmd, _ := s.start("serve", "1", status)
			v.Started(processes(cmd))
			o := next(s, s.done)
			if !strings.HasSuffix(o.Unfit, want) || (o.Unfit == "") != (want == "") || o.Report.New == 0 {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// TestNoSockets: where it need not accept, only what it says counts.
func TestNoSockets(t *testing.T) {
	s := newScene(t, 0)
	s.checks.Says = true
	v := s.vet()
	v.Started(func() []int { return nil })
	v.Said()
	if o := next(s, s.done); o.Unfit != "" || o.Doubt != "" {
		t.Errorf("got %+v", o)
	}
}

// TestStop: a vetting may end at every point, and tells nothing afterwards.
func TestStop(t *testing.T) {
	s := newScene(t, 1)
	s.checks.Says = true
	s.vet().Stop()
	v := s.vet()
	cmd, _ := s.start("idle")
	v.Started(processes(cmd))
	next(s, s.waiting)
	v.Stop()
	v.Stop()
	if len(s.done) > 0 {
		t.Error("it is done")
	}
}

// TestDoubt: what may not be seen is told at once, and is no fault.
func TestDoubt(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have a process of another user: run the test as root")
	}
	s := newScene(t, 1)
	target, _ := s.start("nobody")
	cmd := helpertest.Command(t, "vet", strconv.Itoa(target.Process.Pid))
	cmd.ExtraFiles = s.files
	var out strings.Builder
	cmd.Stdout = &out
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_PTRACE, 0, 0, 0)
		if err == nil {
			err = cmd.Run() // which inherits what this thread may do
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("cannot look into PID %d of UID 65534: permission denied (UID 0 may do that with CAP_SYS_PTRACE only)", target.Process.Pid)
	if want := "doubt: " + want + "\nunfit: \"\", doubt: " + want + "\n"; out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
}

// vet vets a process.
func vet(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	done := make(chan struct{})
	v := New(Checks{
		Says: true, Patience: 10 * time.Millisecond,
		Sockets: accepting.Sockets([]activation.NamedFile{{Name: "web", File: os.NewFile(3, "given")}}),
	}, Observer{
		Waiting: func(string) {},
		Doubt:   func(text string) { fmt.Println("doubt:", text) },
		Done: func(o Outcome) {
			fmt.Printf("unfit: %q, doubt: %s\n", o.Unfit, o.Doubt)
			close(done)
		},
	})
	v.Started(func() []int { return []int{pid} })
	v.Said()
	<-done
	v.Stop()
	return nil
}
