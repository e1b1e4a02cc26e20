package reexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestMain(m *testing.M) {
	helpertest.Main(m, map[string]func(args []string) error{
		"successor": successor,
		"fails":     func([]string) error { return errors.New("a library is missing") },
		"silent":    func([]string) error { return nil },
		"hangs":     func([]string) error { fmt.Println("hangs"); time.Sleep(time.Hour); return nil },
		"replaced":  replaced,
	})
}

// successor reads the note, and says what is in its file.
func successor([]string) error {
	n := new(note)
	s, err := Inherit(n)
	if err != nil {
		return err
	}
	b := make([]byte, 64)
	size, err := s.File(n.Used[0]).ReadAt(b, 0)
	if size == 0 {
		return err
	}
	if !s.OnTrial() {
		fmt.Printf("%s, %s, PID %v\n", n.Text, b[:size], os.Getpid() == n.PID)
		return nil
	}
	return s.Pass(n.Text + ", " + string(b[:size]))
}

// replaced replaces itself by a program that does not exist, and then by successor.
func replaced([]string) error {
	runtime.LockOSThread() // whose signals are looked at
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	memory, err := os.CreateTemp("", "reexec")
	if err != nil {
		return err
	}
	os.Remove(memory.Name())
	if _, err := memory.WriteString("there"); err != nil {
		return err
	}
	files := new(Files)
	n := &note{Text: "text"}
	n.Used = append(n.Used, files.Duplicate(memory))
	os.Setenv(helpertest.Variable, "successor") // once: of two the first would count
	env := os.Environ()
	var limit unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return err
	}
	err = Replace(Program{Path: exe + ".none", Args: []string{"none"}}, n, files, env)
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a program that does not exist: %w", err)
	}
	if err := asBefore(files, limit); err != nil {
		return fmt.Errorf("after a program that does not exist: %w", err)
	}
	return Replace(Program{Path: exe, Args: []string{exe}}, n, files, env)
}

// asBefore says what differs: children get no files, no signal is blocked, and the limit
// is what it was.
func asBefore(files *Files, limit unix.Rlimit) error {
	for _, number := range files.numbers() {
		if flags, err := unix.FcntlInt(uintptr(number), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			return fmt.Errorf("descriptor %d has flags %d, %v", number, flags, err)
		}
	}
	var mask unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &mask); err != nil || mask != (unix.Sigset_t{}) {
		return fmt.Errorf("signals are blocked: %x, %v", mask, err)
	}
	var now unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &now); err != nil || now != limit {
		return fmt.Errorf("the limit is %+v, want %+v: %v", now, limit, err)
	}
	return nil
}

// A launcher waits for its children.
type launcher struct{ t *testing.T }

func (l launcher) Launch(_ context.Context, cmd *exec.Cmd) (<-chan generation.ExitStatus, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan generation.ExitStatus, 1)
	go func() {
		state, err := cmd.Process.Wait()
		if err != nil {
			l.t.Error(err)
		}
		status := state.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			ended <- generation.ExitStatus{Signal: int(status.Signal())}
			return
		}
		ended <- generation.ExitStatus{Code: status.ExitStatus()}
	}()
	return ended, nil
}

// TestTry: a program that can go on says so, and one that cannot is a TrialError with
// its last words.
func TestTry(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, helper, path, text string
		version, want            string
	}{
		{name: "one that can", helper: "successor", text: "text", version: "text, there"},
		{name: "one that does not understand the state", helper: "successor", want: "no text"},
		{name: "one that fails", helper: "fails", text: "text", want: "a library is missing"},
		{name: "one that says nothing", helper: "silent", text: "text", want: "another program"},
		{name: "none", path: exe + ".none", text: "text", want: "no such file"},
		{name: "one that hangs", helper: "hangs", text: "text", want: "enough"},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaktest.Check(t)
			memory := fdtest.Memfd(t)
			if _, err := memory.WriteString("there"); err != nil {
				t.Fatal(err)
			}
			files := new(Files)
			defer files.Close()
			n := &note{Text: c.text, Used: []fd.Ref{files.Duplicate(memory)}}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if c.helper == "hangs" {
				cancel(errors.New("that is enough"))
			}
			p := Program{Path: exe, Args: []string{exe}}
			if c.path != "" {
				p.Path = c.path
			}
			version, err := Try(ctx, launcher{t}, p, n, files, helpertest.Environ(c.helper))
			if version != c.version || c.want == "" && err != nil {
				t.Errorf("got %q, %v, want %q", version, err, c.version)
			}
			trial, ok := errors.AsType[*TrialError](err)
			if c.want != "" && (!ok || !strings.Contains(trial.Reason, c.want)) {
				t.Errorf("got %v, want a TrialError with %q", err, c.want)
			}
		})
	}
}

// TestReplace: the new program has the state and the files, in the same process; where
// there is none all is as before.
func TestReplace(t *testing.T) {
	cmd := helpertest.Command(t, "replaced")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil || out.String() != "text, there, PID true\n" {
		t.Errorf("it says %q, %v", out.String(), err)
	}
}
