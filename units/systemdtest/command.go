package systemdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// commandTimeout bounds what Output, Systemctl and the like wait for. It
	// is well beyond the 90 s that systemd gives a unit to start or stop.
	commandTimeout = 5 * time.Minute

	// drainTimeout bounds the wait for the output of a command that was
	// killed. It is for what left the command's cgroup with a pipe in hand.
	drainTimeout = 10 * time.Second
)

// cleanEnv is the environment of what runs inside: nothing of the test's.
func cleanEnv() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "container=holdfast",
	}
}

// enterScript moves itself into the cgroup $1 and becomes the rest.
const enterScript = `echo 0 >"$1/cgroup.procs" && shift && exec "$@"`

// Command returns a command that runs inside the machine: in all its
// namespaces, as root, in the root folder, with an environment of PATH, HOME,
// LANG, TERM and container= to which Env may be appended, and in a cgroup of its
// own, which is none of systemd's units. It ends with the machine at the latest.
//
// When ctx ends, and when its Cancel function is called, the command is killed
// with every process that it has started. Its Process is nsenter(1), which waits
// in front of it: a signal sent there does not reach the command.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	m.t.Helper()
	cmd, _, err := m.command(ctx, name, args...)
	if err != nil {
		m.t.Fatalf("systemdtest: command %s: %v", name, err)
	}
	return cmd
}

// command also returns the command's cgroup, which may be removed when the
// command has ended.
func (m *Machine) command(ctx context.Context, name string, args ...string) (*exec.Cmd, string, error) {
	if err := m.dead(); err != nil {
		return nil, "", err
	}
	group := filepath.Join(m.group, "holdfast.commands", strconv.FormatInt(m.commands.Add(1), 10))
	if err := os.MkdirAll(group, 0o755); err != nil {
		return nil, "", err
	}
	enter := []string{"-c", enterScript, "enter", group, m.programs["nsenter"], "-t", strconv.Itoa(m.pid),
		"-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--", name}
	cmd := exec.CommandContext(ctx, "/bin/sh", append(enter, args...)...)
	cmd.Env = cleanEnv()
	cmd.Dir = "/" // for $PWD: -w puts the command where PID 1 is
	cmd.Cancel = func() error {
		// Both: the first process may not have entered the cgroup yet.
		return errors.Join(cmd.Process.Kill(), killGroup(group))
	}
	cmd.WaitDelay = drainTimeout
	return cmd, group, nil
}

// run runs a command and returns its standard output. The error has what it
// wrote to standard error.
func (m *Machine) run(ctx context.Context, name string, args ...string) (string, error) {
	words := strings.Join(append([]string{name}, args...), " ")
	cmd, group, err := m.command(ctx, name, args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w", words, err)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		err = fmt.Errorf("%s: %w: %s", words, err, strings.TrimSpace(stderr.String()))
	}
	// It stays while something that the command has left behind runs in it.
	_ = os.Remove(group)
	return stdout.String(), err
}

// runTimed is run with commandTimeout, less the line feed at the end.
func (m *Machine) runTimed(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	out, err := m.run(ctx, name, args...)
	return strings.TrimSuffix(out, "\n"), err
}

// Output runs a command, its name first, inside the machine and returns its
// standard output, less the line feed at the end. A command that fails, or takes
// longer than five minutes, fails the test.
func (m *Machine) Output(args ...string) string {
	m.t.Helper()
	if len(args) == 0 {
		m.t.Fatal("systemdtest: Output of no command")
	}
	out, err := m.runTimed(args[0], args[1:]...)
	if err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	return out
}
