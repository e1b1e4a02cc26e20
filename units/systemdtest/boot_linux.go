package systemdtest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/systemdtest/internal/roots"
	"golang.org/x/sys/unix"
)

//go:embed boot.sh
var bootScript string

const (
	// forbidden is boot.sh's exit status where the host does not let it mount.
	forbidden = 77

	// withheld are the capabilities by which a unit would reach the host's
	// clock, devices and kernel. CapabilityBoundingSet= in system.conf would
	// take them from the host's own usermode helpers too.
	withheld = "-sys_module,-sys_rawio,-sys_time,-wake_alarm,-block_suspend,-syslog"
)

// boot starts a machine, which has until ctx ends to come up. An error that is
// errCannot is about the place.
func boot(ctx context.Context, t testing.TB, root string, packages []string) (*Machine, error) {
	h, err := thisHost()
	if err != nil {
		return nil, err
	}
	p, err := h.look(root)
	if err != nil {
		return nil, err
	}
	if err := lacking(p.root, packages); err != nil {
		return nil, err
	}
	sweep(p.cgroups)
	group, err := newGroup(p.cgroups)
	if err != nil {
		return nil, err
	}
	reaper, err := startReaper(group)
	if err != nil {
		return nil, errors.Join(err, os.Remove(group))
	}
	m := &Machine{t: t, source: p.root, group: group, programs: p.programs, reaper: reaper, exited: make(chan struct{})}
	t.Cleanup(m.end)
	if err := m.start(); err != nil {
		return nil, err
	}
	if err := m.settle(ctx); err != nil {
		return nil, fmt.Errorf("boot %s: %w\n%s", m.source, err, m.diagnosis())
	}
	if m.network, err = openNetwork(m.pid); err != nil {
		return nil, err
	}
	m.booted = true
	return m, nil
}

// start runs the boot script as PID 1 of new namespaces, in m's cgroup.
func (m *Machine) start() error {
	console, terminal, err := openConsole()
	if err != nil {
		return err
	}
	m.console = console
	group, err := os.Open(m.group)
	if err != nil {
		return err
	}
	defer group.Close()

	cmd := exec.Command(m.programs["setpriv"], "--bounding-set", withheld,
		"/bin/sh", "-c", bootScript, "boot", m.source, terminal.Name())
	cmd.Env = cleanEnv()
	cmd.Stdout, cmd.Stderr = terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		// These by the child itself, which is in its cgroup by then: that
		// becomes the root of the cgroup namespace. With CLONE_NEWNS the
		// syscall package also keeps the child's mounts to itself.
		Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
		UseCgroupFD:  true,
		CgroupFD:     int(group.Fd()),
	}
	if err := cmd.Start(); err != nil {
		return refused(err)
	}
	m.pid = cmd.Process.Pid
	m.root = fmt.Sprintf("/proc/%d/root", m.pid)
	go func() {
		m.exit = cmd.Wait()
		close(m.exited)
	}()
	return nil
}

// refused tells a host that allows no namespaces from other failures.
func refused(err error) error {
	may := []error{unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOSPC, unix.ENOSYS, unix.EOPNOTSUPP, unix.EBUSY}
	if slices.ContainsFunc(may, func(e error) bool { return errors.Is(err, e) }) {
		return cannot("the kernel refuses a process with namespaces and a cgroup of its own (Linux 5.7 or later, privileged): %w", err)
	}
	return fmt.Errorf("start PID 1: %w", err)
}

// settle waits until systemd has started up.
func (m *Machine) settle(ctx context.Context) error {
	if err := m.awaitSystemd(ctx); err != nil {
		return err
	}
	// It exits with 1 when degraded, so what it prints counts.
	out, err := m.run(ctx, "systemctl", "is-system-running", "--wait")
	switch state := strings.TrimSpace(out); state {
	case "running":
	case "degraded":
		failed, _ := m.run(ctx, "systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
		m.t.Logf("systemdtest: the machine is up, with failed units:\n%s", failed)
	default:
		return fmt.Errorf("systemd says it is %q: %w", state, err)
	}
	if out, err = m.run(ctx, "systemctl", "--version"); err != nil {
		return err
	}
	m.version, err = roots.ParseVersion(out)
	return err
}

// awaitSystemd waits until systemd listens on its own socket: until then
// systemctl fails instead of waiting. The socket being there is not enough, since
// it is bound a moment before it listens.
func (m *Machine) awaitSystemd(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// Until boot.sh has changed roots the path leads to the host, which
		// may have such a socket too.
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", m.pid))
		if err == nil && bytes.Contains(bytes.SplitN(cmdline, []byte{0}, 2)[0], []byte("systemd")) {
			if m.listens("/run/systemd/private") {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-m.exited:
			var status *exec.ExitError
			if errors.As(m.exit, &status) && status.ExitCode() == forbidden {
				return cannot("mounting is forbidden: %s", strings.TrimSpace(m.console.rest()))
			}
			return fmt.Errorf("PID 1 ended before systemd was up: %w", m.exit)
		case <-ctx.Done():
			return fmt.Errorf("systemd did not open its socket: %w", context.Cause(ctx))
		}
	}
}

// listens reports whether a Unix socket at path accepts connections, without
// making one: to systemd a client that goes at once is worth a warning.
func (m *Machine) listens(path string) bool {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/unix", m.pid))
	if err != nil {
		return false
	}
	const flags, listening, name = 3, "00010000", 7 // columns; __SO_ACCEPTCON
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > name && f[name] == path && f[flags] == listening {
			return true
		}
	}
	return false
}
