package systemdtest

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

func TestCommand(t *testing.T) {
	leaktest.Check(t)
	t.Setenv("SECRET_OF_THE_TEST", "x")
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		for _, namespace := range []string{"pid", "mnt", "ipc", "uts", "net", "cgroup"} {
			inside, first := m.Output("readlink", "/proc/self/ns/"+namespace), m.Output("readlink", "/proc/1/ns/"+namespace)
			outside, err := exec.Command("readlink", "/proc/self/ns/"+namespace).Output()
			if err != nil || inside != first || inside == strings.TrimSpace(string(outside)) {
				t.Errorf("namespace %s: inside %s, PID 1 %s, outside %s", namespace, inside, first, outside)
			}
		}
		if got := m.Output("pwd"); got != "/" {
			t.Errorf("a command starts in %s", got)
		}
		env := strings.Split(m.Output("env"), "\n")
		slices.Sort(env)
		want := append(cleanEnv(), "PWD=/")
		slices.Sort(want)
		if !slices.Equal(env, want) {
			t.Errorf("a command's environment is %q, want %q", env, want)
		}

		cmd := m.Command(t.Context(), "sh", "-c", "cat; echo \"$1 $MORE\"; exit 7", "sh", "two words")
		cmd.Stdin = strings.NewReader("piped ")
		cmd.Env = append(cmd.Env, "MORE=more")
		var out bytes.Buffer
		cmd.Stdout = &out
		var status *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &status) || status.ExitCode() != 7 {
			t.Errorf("a command that exits with 7: %v", err)
		}
		if out.String() != "piped two words more\n" {
			t.Errorf("a command printed %q", &out)
		}
		if _, err := m.run(t.Context(), "no-such-program"); err == nil || !strings.Contains(err.Error(), "no-such-program") {
			t.Errorf("a program that is not there: %v", err)
		}
		if v := judge(t, func(t testing.TB) { (&Machine{t: t}).Output() }); !v.failed {
			t.Error("Output of nothing passed")
		}
	})
}

// TestCommandEndsWithItsContext kills a command together with what it started.
func TestCommandEndsWithItsContext(t *testing.T) {
	leaktest.Check(t)
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		running := func() bool { return strings.Contains(m.Output("ps", "-eo", "args"), "sleep 4711") }
		for _, how := range []string{"context", "Cancel"} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cmd := m.Command(ctx, "sh", "-c", "setsid sleep 4711 & sleep 4711; echo not reached")
			stdout, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			poll.Until(t, "the command runs", func() bool {
				return strings.Count(m.Output("ps", "-eo", "args"), "\nsleep 4711") == 2
			})
			if how == "context" {
				cancel()
			} else if err := cmd.Cancel(); err != nil {
				t.Errorf("Cancel: %v", err)
			}
			// Its output ends only when every holder of it is gone.
			var out bytes.Buffer
			if _, err := out.ReadFrom(stdout); err != nil || out.Len() > 0 {
				t.Errorf("ended by %s it printed %q, %v", how, &out, err)
			}
			if err := cmd.Wait(); err == nil {
				t.Errorf("a command ended by %s ended well", how)
			}
			poll.Until(t, "what the command started is gone", func() bool { return !running() })
		}
	})
}

func TestCommandsAfterTheEnd(t *testing.T) {
	m := Boot(t, Options{})
	if err := killGroup(m.group); err != nil {
		t.Fatal(err)
	}
	<-m.exited
	if _, err := m.TrySystemctl("status"); err == nil || !strings.Contains(err.Error(), "PID 1 has ended: signal: killed") {
		t.Errorf("systemctl in a machine that is gone: %v", err)
	}
}
