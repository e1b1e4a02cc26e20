package activation

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// report is what a started program says of itself.
type report struct {
	Err      string
	Args     []string
	Env      []string
	Names    []string
	Kinds    []string // of the inherited descriptors, in order
	Others   []string // descriptors it holds beyond 0, 1, 2 and the inherited
	OwnPIDFD bool     // LISTEN_PIDFDID was there, and right
}

// childReport inherits, and describes what it got as JSON. It stands for a program
// that was started: nothing of it is prepared by this package.
var childReport = Helper("report", func() error {
	r := report{Args: os.Args[1:], Env: os.Environ()}
	own, _ := ownPidfdID()
	r.OwnPIDFD = os.Getenv(envPIDFDID) == strconv.FormatUint(own, 10)
	held, err := passedOn()
	if err != nil {
		return err
	}
	s, err := Inherit()
	if err != nil {
		r.Err = err.Error()
	}
	inherited := map[int]bool{0: true, 1: true, 2: true}
	for _, d := range s.Unclaimed() {
		inherited[d.FD] = true
		r.Names = append(r.Names, d.Name)
		r.Kinds = append(r.Kinds, d.Kind.String())
	}
	for fd, what := range held {
		if !inherited[fd] {
			r.Others = append(r.Others, fmt.Sprintf("%d %s", fd, what))
		}
	}
	slices.Sort(r.Others)
	return json.NewEncoder(os.Stdout).Encode(r)
})

// passedOn returns the descriptors that came through execve, and what they are.
// What the Go runtime opened since then closes on exec.
func passedOn() (map[int]string, error) {
	open, err := leaktest.Descriptors()
	if err != nil {
		return nil, err
	}
	held := make(map[int]string)
	for _, d := range open {
		number, what, _ := strings.Cut(d, " ")
		fd, err := strconv.Atoi(number)
		if err != nil {
			return nil, err
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return nil, err
		} else if flags&unix.FD_CLOEXEC == 0 {
			held[fd] = what
		}
	}
	return held, nil
}

// startReport starts the helper with the files and returns what it says.
func startReport(t *testing.T, cmd *exec.Cmd, files ...NamedFile) report {
	t.Helper()
	var out strings.Builder
	cmd.Stdout = &out
	if err := Start(t.Context(), cmd, files...); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	return r
}

func TestStart(t *testing.T) {
	leaktest.Check(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	extra, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()

	cmd := helpertest.Command(t, childReport, "-flag", "a b")
	path, args := cmd.Path, slices.Clone(cmd.Args)
	cmd.Env = append(cmd.Env, "LISTEN_PID=1", "LISTEN_PIDFDID=2", "LISTEN_FDS=3", "LISTEN_FDNAMES=stale", "REMOTE_ADDR=192.0.2.1", "REMOTE_PORT=4")
	cmd.ExtraFiles = []*os.File{extra}
	// What this process holds without close-on-exec is no business of the program.
	stray, err := unix.Open(os.DevNull, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(stray)
	r := startReport(t, cmd, NamedFile{"http", f}, NamedFile{`null\`, null}, NamedFile{"", f})
	if r.Err != "" || !slices.Equal(r.Names, []string{"http", `null\`, ""}) {
		t.Errorf("inherited %q, %s", r.Names, r.Err)
	}
	// Package net makes listeners of MPTCP where the kernel has it.
	k, err := Inspect(f)
	if err != nil {
		t.Fatal(err)
	}
	socket := k.String()
	if want := []string{socket, "character device /dev/null", socket}; !slices.Equal(r.Kinds, want) {
		t.Errorf("kinds %q, want %q", r.Kinds, want)
	}
	if want := []string{"6 /dev/zero"}; !slices.Equal(r.Others, want) {
		t.Errorf("the program holds %q beside what was passed, want %q", r.Others, want)
	}
	if !slices.Equal(r.Args, []string{"-flag", "a b"}) {
		t.Errorf("arguments %q", r.Args)
	}
	for _, kv := range r.Env {
		key, value, _ := strings.Cut(kv, "=")
		if key == envStep || strings.HasPrefix(key, "REMOTE_") || strings.Contains(value, "stale") {
			t.Errorf("the program sees %s", kv)
		}
	}
	if _, ok := ownPidfdID(); r.OwnPIDFD != ok {
		t.Errorf("LISTEN_PIDFDID is right: %v, and the kernel has it: %v", r.OwnPIDFD, ok)
	}
	if cmd.Path != path || !slices.Equal(cmd.Args, args) || len(cmd.ExtraFiles) != 1 {
		t.Errorf("the command was changed to %v with %d extra files", cmd, len(cmd.ExtraFiles))
	}

	// The caller's listener is the caller's: still non-blocking, so Close ends Accept.
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept ended with %v", err)
	}
}

func TestStartWithNothing(t *testing.T) {
	leaktest.Check(t)
	cmd := helpertest.Command(t, childReport)
	cmd.Env = append(cmd.Env, "LISTEN_PID=1", "LISTEN_FDS=1")
	r := startReport(t, cmd)
	if r.Err != "" || len(r.Names) != 0 || len(r.Others) != 0 {
		t.Errorf("inherited %q, %s, and holds %q", r.Names, r.Err, r.Others)
	}
	for _, kv := range r.Env {
		if strings.HasPrefix(kv, "LISTEN_") {
			t.Errorf("the program sees %s", kv)
		}
	}
}

func TestStartWithThousand(t *testing.T) {
	leaktest.Check(t)
	const n = 1000
	folder := t.TempDir()
	var files []NamedFile
	for i := range n {
		f, err := os.Create(filepath.Join(folder, strconv.Itoa(i)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, NamedFile{fmt.Sprintf("file-%d", i), f})
	}
	// In an order that is not that of the numbers.
	slices.Reverse(files[:n/2])
	r := startReport(t, helpertest.Command(t, childReport), files...)
	if len(r.Names) != n || len(r.Others) != 0 {
		t.Fatalf("the program inherited %d, and holds %q", len(r.Names), r.Others)
	}
	for i, f := range files {
		if want := "regular file " + f.File.Name(); r.Names[i] != f.Name || r.Kinds[i] != want {
			t.Fatalf("descriptor %d is %q, %s; want %q, %s", i, r.Names[i], r.Kinds[i], f.Name, want)
		}
	}
}

// The protocol is not this package's alone: a shell is a program like any other.
func TestStartShell(t *testing.T) {
	leaktest.Check(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `[ "$LISTEN_PID" = $$ ] && echo "$LISTEN_FDS $LISTEN_FDNAMES $0" >&3`, "zero")
	cmd.Stderr = os.Stderr
	err = Start(t.Context(), cmd, NamedFile{"out", w})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "1 out zero\n" {
		t.Errorf("got %q, %v", line, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestStartErrors(t *testing.T) {
	leaktest.Check(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	defer null.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		path string
		file NamedFile
		is   error
		text string
	}{
		{"name", t.Context(), "/bin/true", NamedFile{"a:b", null}, ErrName, `"a:b"`},
		{"closed file", t.Context(), "/bin/true", NamedFile{"x", closed}, nil, `pass "x"`},
		{"no program", t.Context(), "/does/not/exist", NamedFile{"x", null}, unix.ENOENT, "start /does/not/exist: execute /does/not/exist: no such file"},
		{"no executable", t.Context(), "/etc/passwd", NamedFile{"x", null}, unix.EACCES, "permission denied"},
		{"not in PATH", t.Context(), "holdfast-is-not-there", NamedFile{"x", null}, exec.ErrNotFound, ""},
		{"ended context", ended, "/bin/true", NamedFile{"x", null}, context.Canceled, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(tt.path)
			err := Start(tt.ctx, cmd, tt.file)
			if err == nil {
				cmd.Wait()
			}
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v and %q", err, tt.is, tt.text)
			}
			if err != nil && cmd.Process != nil && cmd.ProcessState == nil {
				t.Error("a process was left behind")
			}
		})
	}
	t.Run("main without the step", func(t *testing.T) {
		stepCalled.Store(false)
		defer stepCalled.Store(true)
		if err := Start(t.Context(), exec.Command("/bin/true")); !errors.Is(err, ErrNoStep) {
			t.Errorf("got %v, want ErrNoStep", err)
		}
	})
}

// A caller that starts children from many goroutines gets each its own set.
func TestStartFromManyGoroutines(t *testing.T) {
	leaktest.Check(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	failed := make(chan error)
	const n = 16
	for i := range n {
		go func() {
			failed <- func() error {
				r, w, err := os.Pipe()
				if err != nil {
					return err
				}
				defer r.Close()
				name := fmt.Sprintf("out-%d", i)
				cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `echo "$LISTEN_FDNAMES" >&3`)
				err = Start(ctx, cmd, NamedFile{name, w})
				w.Close()
				if err != nil {
					return err
				}
				text, err := io.ReadAll(r) // ends only if no other child holds the pipe
				if err == nil && string(text) != name+"\n" {
					err = fmt.Errorf("got %q, want %q", text, name)
				}
				return errors.Join(err, cmd.Wait())
			}()
		}()
	}
	for range n {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}
