package activation

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// envPrepare makes the steps below act: fail, exit or hang.
const envPrepare = "ACTIVATION_TEST_PREPARE"

func init() {
	prepare = append(prepare, func() error {
		switch how := os.Getenv(envPrepare); how {
		case "fail":
			return fmt.Errorf("join the group: %w", unix.EROFS)
		case "exit":
			os.Exit(3)
		case "hang":
			fmt.Println("hanging")
			select {}
		case "env":
			os.Unsetenv(envPrepare)
			os.Setenv("PREPARED", "yes")
		}
		return nil
	})
}

func TestStartWithSteps(t *testing.T) {
	leaktest.Check(t)
	cmd := helpertest.Command(t, childReport)
	cmd.Env = append(cmd.Env, envPrepare+"=env")
	if r := startReport(t, cmd); !slices.Contains(r.Env, "PREPARED=yes") || slices.Contains(r.Env, envPrepare+"=env") {
		t.Errorf("what the step changed is lost: %q", r.Env)
	}

	cmd = helpertest.Command(t, childReport)
	cmd.Stderr = nil
	cmd.Env = append(cmd.Env, envPrepare+"=fail")
	if err := Start(t.Context(), cmd); !errors.Is(err, unix.EROFS) || !strings.HasSuffix(err.Error(), "prepare: join the group: read-only file system") {
		t.Errorf("a failed step: %v", err)
	}

	cmd = helpertest.Command(t, childReport)
	cmd.Env = append(cmd.Env, envPrepare+"=exit")
	if err := Start(t.Context(), cmd); !errors.Is(err, errStepDied) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a step that exits: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd = helpertest.Command(t, childReport)
	cmd.Env = append(cmd.Env, envPrepare+"=hang")
	out, w := io.Pipe()
	cmd.Stdout = w
	go func() {
		bufio.NewReader(out).ReadString('\n') // it hangs now
		cancel()
		io.Copy(io.Discard, out)
	}()
	if err := Start(ctx, cmd); !errors.Is(err, context.Canceled) || cmd.ProcessState == nil {
		t.Errorf("a step that hangs: %v, process state %v", err, cmd.ProcessState)
	}
	w.Close()
}

func TestExecStepOfNonsense(t *testing.T) {
	for _, spec := range []string{"", "3", "x:/bin/true", "2:/bin/true", "-1:/bin/true"} {
		cmd := helpertest.Command(t, childReport)
		cmd.Env = append(cmd.Env, envStep+"="+spec)
		cmd.Stderr = nil
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 127 || len(out) != 0 || !strings.Contains(string(exit.Stderr), fmt.Sprintf("%s=%q: malformed", envStep, spec)) {
			t.Errorf("%q: %v, %s", spec, err, out)
		}
	}
}

// Whoever runs a set-user-ID program that starts children must not be able to
// have it execute something else with its privileges.
func TestExecStepOfPrivilegedProgram(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make a program set-user-ID for another user")
	}
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "holdfast") // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "suid")
	if err := errors.Join(os.Chmod(folder, 0o755), os.WriteFile(path, exe, 0o755), os.Chmod(path, 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Dir = "/"
	cmd.Env = helpertest.Environ(childReport, envStep+"=3:/usr/bin/id")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("it ran: %s, %v", out, err)
	}
	if !strings.Contains(string(exit.Stderr), "refused in a program with privileges") {
		t.Skipf("the program was not given privileges (a file system mounted nosuid?): %s", exit.Stderr)
	}
}
