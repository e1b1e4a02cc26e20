package systemdtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tools are the host's programs that a machine is made with.
type tools struct{ nsenter string }

func findTools() (tools, error) {
	found := make(map[string]string)
	for _, name := range []string{"sh", "mount", "umount", "pivot_root", "nsenter", "find"} {
		path, err := exec.LookPath(name)
		if err != nil {
			path, err = exec.LookPath("/usr/sbin/" + name)
		}
		if err != nil {
			return tools{}, cannot("no program %q: it is part of util-linux", name)
		}
		found[name] = path
	}
	return tools{nsenter: found["nsenter"]}, nil
}

// cleanEnv is the environment of what runs inside: nothing of the test's.
func cleanEnv() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "container=holdfast",
	}
}

// enterScript moves itself into the cgroup $1 and becomes the rest.
const enterScript = `echo 0 >"$1/cgroup.procs" && shift && exec "$@"`

// Command returns a command that runs inside the machine, in all its
// namespaces, as root, in a cgroup of its own. When ctx ends, the command and
// every process that it has started are killed.
func (m *Machine) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	m.t.Helper()
	cmd, _, err := m.command(ctx, name, args...)
	if err != nil {
		m.t.Fatalf("systemdtest: command %s: %v", name, err)
	}
	return cmd
}

func (m *Machine) command(ctx context.Context, name string, args ...string) (*exec.Cmd, string, error) {
	group := filepath.Join(m.group, "holdfast.commands", strconv.FormatInt(m.commands.Add(1), 10))
	if err := os.MkdirAll(group, 0o755); err != nil {
		return nil, "", err
	}
	enter := []string{"-c", enterScript, "sh", group, m.tools.nsenter, "-t", strconv.Itoa(m.pid),
		"-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--", name}
	cmd := exec.CommandContext(ctx, "/bin/sh", append(enter, args...)...)
	cmd.Env = cleanEnv()
	cmd.Dir = "/" // where the command will be: PID 1 stays there
	cmd.Cancel = func() error {
		// Both: the first process may not have entered the cgroup yet.
		err := cmd.Process.Kill()
		if e := killGroup(group); err == nil {
			err = e
		}
		return err
	}
	cmd.WaitDelay = 10 * time.Second
	return cmd, group, nil
}

// run runs a command of the rig's own and returns its standard output.
func (m *Machine) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd, group, err := m.command(ctx, name, args...)
	if err != nil {
		return "", err
	}
	defer os.Remove(group)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

func (m *Machine) runTimed(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return m.run(ctx, name, args...)
}

// Output runs a command inside and returns its standard output, less the line
// feed at its end.
func (m *Machine) Output(args ...string) string {
	m.t.Helper()
	out, err := m.runTimed(args[0], args[1:]...)
	if err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	return strings.TrimSuffix(out, "\n")
}

// Systemctl runs systemctl inside, after a daemon-reload if units were
// installed since the last one.
func (m *Machine) Systemctl(args ...string) string {
	m.t.Helper()
	out, err := m.TrySystemctl(args...)
	if err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	return out
}

// TrySystemctl is Systemctl for a command that may fail.
func (m *Machine) TrySystemctl(args ...string) (string, error) {
	if err := m.reload(); err != nil {
		return "", err
	}
	out, err := m.runTimed("systemctl", args...)
	out = strings.TrimSuffix(out, "\n")
	if err != nil {
		return out, fmt.Errorf("%w\n%s", err, m.describe(args))
	}
	return out, nil
}

func (m *Machine) reload() error {
	if !m.changed.Swap(false) {
		return nil
	}
	_, err := m.runTimed("systemctl", "daemon-reload")
	return err
}

// DaemonReload makes systemd read its units again.
func (m *Machine) DaemonReload() {
	m.t.Helper()
	m.changed.Store(true)
	if err := m.reload(); err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
}

// describe tells the state of the units that a systemctl command names.
func (m *Machine) describe(args []string) string {
	var b strings.Builder
	for _, unit := range args[min(1, len(args)):] {
		if !strings.Contains(unit, ".") || strings.HasPrefix(unit, "-") {
			continue
		}
		status, _ := m.runTimed("systemctl", "status", "--no-pager", "--full", "-n", "0", "--", unit)
		journal, _ := m.runTimed("journalctl", "--no-pager", "-o", "short-monotonic", "-n", "100", "-u", unit)
		fmt.Fprintf(&b, "%s%s", status, journal)
	}
	return b.String()
}

// Property returns a property of a unit, as `systemctl show` prints it.
func (m *Machine) Property(unit, property string) string {
	m.t.Helper()
	if err := m.reload(); err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	out := m.Output("systemctl", "show", "--all", "--property="+property, "--", unit)
	value, ok := strings.CutPrefix(out, property+"=")
	if !ok {
		m.t.Fatalf("systemdtest: unit %s has no property %q", unit, property)
	}
	return value
}

// Journal returns what journalctl prints: the bare messages, one a line, of the
// entries that args select, such as "-u", "app.service".
func (m *Machine) Journal(args ...string) string {
	m.t.Helper()
	m.Output("journalctl", "--sync")
	return m.Output(append([]string{"journalctl", "-o", "cat", "--no-pager", "-q"}, args...)...)
}

// diagnosis is what helps to see why a machine or a test in it failed.
func (m *Machine) diagnosis() string {
	var b strings.Builder
	fmt.Fprintf(&b, "console:\n%s\n", m.console.text())
	select {
	case <-m.exited:
		fmt.Fprintf(&b, "PID 1 has ended: %v\n", m.exit)
		return b.String()
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	failed, _ := m.run(ctx, "systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
	jobs, _ := m.run(ctx, "systemctl", "list-jobs", "--no-legend", "--no-pager")
	journal, _ := m.run(ctx, "journalctl", "--no-pager", "-o", "short-monotonic", "-n", "200")
	fmt.Fprintf(&b, "failed units:\n%sjobs:\n%sjournal:\n%s", failed, jobs, journal)
	return b.String()
}
