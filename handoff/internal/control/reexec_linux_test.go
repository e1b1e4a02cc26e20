package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// imageVariable holds the descriptor of the listener that an image inherited.
const imageVariable = "HOLDFAST_CONTROL_IMAGE"

// images say what the second image of the program tells of itself.
var images = map[string]func(*Status){
	"replaced": func(s *Status) { s.Reexecs = 1 },
	"undone": func(s *Status) {
		s.LastVerdict = &Verdict{Action: ActionReexec, Outcome: Undone, Reason: "it cannot read the state", Time: someTime}
	},
	"forgetful": func(*Status) {},
	"undone before": func(s *Status) {
		s.Reexecs = 1
		s.LastVerdict = &undoneBefore
	},
}

// undoneBefore is a verdict that is there before the program is replaced, where the
// image is to be "undone before".
var undoneBefore = Verdict{Action: ActionReexec, Outcome: Undone, Reason: "it could not read the state", Time: someTime.Add(-time.Hour)}

// firsts say what the first image tells of itself; nil is nothing special.
var firsts = map[string]func(*Status){
	"undone before": func(s *Status) { s.LastVerdict = &undoneBefore },
}

// imagesHelper is a server that replaces its own program, once: its arguments are
// the path of the socket, and which image comes next.
func imagesHelper(ctx context.Context, args []string) error {
	s := newFake()
	s.status.PID = os.Getpid()
	var l *Listener
	var err error
	if fd, ok := os.LookupEnv(imageVariable); ok {
		images[args[1]](&s.status)
		n, _ := strconv.Atoi(fd)
		f := os.NewFile(uintptr(n), "inherited")
		l, err = FileListener(f)
		f.Close()
	} else {
		if first := firsts[args[1]]; first != nil {
			first(&s.status)
		}
		l, err = Listen(args[0])
	}
	if err != nil {
		return err
	}
	if images[args[1]] != nil {
		s.reexec = func(context.Context) error { return execWith(l) }
	}
	return Serve(ctx, l, s, Options{})
}

// execWith replaces the program by itself and hands the listener over.
func execWith(l *Listener) error {
	f, err := l.File()
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		if _, err = unix.FcntlInt(fd, unix.F_SETFD, 0); err == nil {
			err = syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), fmt.Sprintf("%s=%d", imageVariable, fd)))
		}
	})
	return errors.Join(ctlErr, err)
}

// start runs a helper until the test ends.
func start(t *testing.T, helper string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), helperVariable+"="+helper)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

func TestReexec(t *testing.T) {
	for next, want := range map[string]string{
		"replaced":      "",
		"undone before": "",
		"undone":        "control: reexec: undone: it cannot read the state",
		"forgetful":     "control: reexec: undone: handoffd went away, and what answers now does not know of it",
		"none":          "control: reexec: the newest handoffd cannot be run",
	} {
		t.Run(next, func(t *testing.T) {
			leaktest.Check(t)
			path := filepath.Join(t.TempDir(), "control")
			cmd := start(t, "images", path, next)
			poll.Until(t, "the server listens", func() bool {
				c, err := Dial(bounded(t), path)
				if err == nil {
					c.Close()
				}
				return err == nil
			})
			bystander := connect(t, path)
			if _, err := bystander.Status(bounded(t)); err != nil {
				t.Fatal(err)
			}
			err := Reexec(bounded(t), path)
			if got := fmt.Sprint(err); got != want && (want != "" || err != nil) {
				t.Errorf("Reexec: %v, want %q", err, want)
			}
			if undone := strings.Contains(want, "undone"); errors.Is(err, ErrUndone) != undone {
				t.Errorf("errors.Is(%v, ErrUndone) is %v", err, !undone)
			}
			_, err = bystander.Status(bounded(t))
			if executed := next != "none"; errors.Is(err, ErrGone) != executed {
				t.Errorf("another client's next call: %v", err)
			}
			after, err := status(bounded(t), path)
			if err != nil || after.PID != cmd.Process.Pid {
				t.Errorf("PID %d answers (%v), want %d all the time", after.PID, err, cmd.Process.Pid)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
				t.Errorf("the socket: %v, %v", info, err)
			}
			// The last image removes the path that the first one made.
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("the server ended with %v", err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket's path is left: %v", err)
			}
		})
	}
}
