package systemdtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/leaktest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// remains is what a machine has in sight of the host.
type remains struct {
	Group  string // its cgroup
	First  string // the identity of its PID 1
	Folder string // where programs are built
}

func init() { helpers["hold"] = hold }

// hold boots a machine with something in it, tells what of it there is, and
// waits to be killed.
func hold([]string) error {
	var failed error
	err := Program(context.Background(), os.Stderr, func(t testing.TB) {
		m := Boot(t, Options{Root: os.Getenv("SYSTEMDTEST_ROOT")})
		m.InstallUnit("nap.service", "[Service]\nExecStart=/bin/sleep 1000\nIgnoreSIGPIPE=no\n")
		m.Systemctl("start", "nap.service")
		if err := m.Command(t.Context(), "sleep", "1000").Start(); err != nil {
			t.Fatal(err)
		}
		folder, err := buildFolder()
		if err != nil {
			t.Fatal(err)
		}
		first, err := identity(fmt.Sprint(m.pid))
		if err != nil {
			t.Fatal(err)
		}
		if failed = json.NewEncoder(os.Stdout).Encode(remains{m.group, first, folder}); failed == nil {
			_, failed = io.Copy(io.Discard, os.Stdin)
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// startHold runs hold in another process.
func startHold(t *testing.T, root string) (*exec.Cmd, remains) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = helpertest.Environ("hold", "SYSTEMDTEST_ROOT="+root)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var r remains
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		t.Fatalf("the helper said %q: %v", line, err)
	}
	r.check(t, true)
	return cmd, r
}

// check fails t unless everything is there, or nothing is.
func (r remains) check(t *testing.T, want bool) {
	t.Helper()
	there := map[string]func() bool{
		"the cgroup " + r.Group:  func() bool { _, err := os.Stat(r.Group); return err == nil },
		"the folder " + r.Folder: func() bool { _, err := os.Stat(r.Folder); return err == nil },
		"the process " + r.First: func() bool { now, err := identity(strings.Split(r.First, "-")[1]); return err == nil && now == r.First },
	}
	for what, is := range there {
		poll.Until(t, fmt.Sprintf("%s: %t", what, want), func() bool { return is() == want })
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), " overlay holdfast ") {
		t.Errorf("mounts of a machine are in sight of the host:\n%s%v", mounts, err)
	}
}

func TestNothingIsLeftWhenTheTestIsKilled(t *testing.T) {
	leaktest.Check(t)
	Run(t, Options{}, func(t *testing.T, m *Machine) {
		cmd, r := startHold(t, m.source)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		r.check(t, false)
	})
}

// TestNextBootSweeps kills the reapers together with the test, and leaves the
// rest to the next machine.
func TestNextBootSweeps(t *testing.T) {
	m := Boot(t, Options{})
	live, liveRemains := startHold(t, m.source)
	cmd, r := startHold(t, m.source)
	for _, pid := range children(t, cmd.Process.Pid) {
		args, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		if err == nil && (strings.Contains(string(args), reapScript) || strings.Contains(string(args), keepFolder)) {
			if out, err := exec.Command("kill", "-KILL", pid).CombinedOutput(); err != nil {
				t.Fatalf("kill a reaper: %v, %s", err, out)
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	r.check(t, true)
	Boot(t, Options{})
	r.check(t, false)

	// A machine whose owner lives is left alone.
	liveRemains.check(t, true)
	if err := live.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = live.Wait()
	liveRemains.check(t, false)
}

// children lists the PIDs of a process's children.
func children(t *testing.T, pid int) []string {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads of process %d: %v", pid, err)
	}
	var all []string
	for _, task := range tasks {
		list, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		all = append(all, strings.Fields(string(list))...)
	}
	return all
}

// TestBootFailures boots roots that cannot boot.
func TestBootFailures(t *testing.T) {
	leaktest.Check(t)
	Boot(t, Options{}) // skips where no machine runs
	for name, c := range map[string]struct {
		systemd, umount string // the programs' content; empty: none
		want            []string
	}{
		"a program that exits": {"#!/nowhere\n", "x", []string{"PID 1 ended before systemd was up", "console:", "127"}},
		"no umount":            {"x", "", []string{"PID 1 ended before systemd was up", "no umount in"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, content := range map[string]string{"usr/lib/systemd/systemd": c.systemd, "usr/bin/umount": c.umount} {
				if content == "" {
					continue
				}
				if err := replaceFile(filepath.Join(root, path), strings.NewReader(content), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			v := judge(t, func(t testing.TB) { Boot(t, Options{Root: root}) })
			if !v.failed {
				t.Fatalf("it did not fail: %+v", v)
			}
			for _, want := range append(c.want, root) {
				if !strings.Contains(v.said, want) {
					t.Errorf("%q is not in the error:\n%s", want, v.said)
				}
			}
		})
	}
}

// TestBootThatHangs gives up on a systemd that does not come up.
func TestBootThatHangs(t *testing.T) {
	leaktest.Check(t)
	Boot(t, Options{}) // skips where no machine runs
	root := t.TempDir()
	program, err := os.ReadFile(Build(t, "./testdata/hang"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"usr/lib/systemd/systemd", "usr/bin/umount"} {
		if err := replaceFile(filepath.Join(root, path), bytes.NewReader(program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("patience is over"))
	defer cancel()
	v := judge(t, func(t testing.TB) {
		_, err := boot(ctx, t, root, nil)
		refuse(t, err)
	})
	for _, want := range []string{root, "systemd did not open its socket: patience is over", "console:"} {
		if !v.failed || !strings.Contains(v.said, want) {
			t.Errorf("%q is not in the error:\n%s", want, v.said)
		}
	}
}
