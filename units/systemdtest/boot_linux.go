package systemdtest

import (
	"context"
	_ "embed"
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
)

//go:embed boot.sh
var bootScript string

// bootTimeout bounds the way from the first process to `running`. A boot takes
// half a second; the rest is for a machine that is busy.
const bootTimeout = 2 * time.Minute

// boot starts a machine, or says why it cannot. An error that is errCannot is
// about the place and not about the machine.
func boot(t testing.TB, root string) (*Machine, error) {
	p, err := look(root)
	if err != nil {
		return nil, err
	}
	sweep(p.cgroups)
	group, err := newGroup(p.cgroups)
	if err != nil {
		return nil, err
	}
	reaper, err := startReaper(group)
	if err != nil {
		os.Remove(group)
		return nil, err
	}
	m := &Machine{t: t, group: group, tools: p.tools, reaper: reaper, exited: make(chan struct{})}
	t.Cleanup(m.end)
	if err := m.start(p); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
	defer cancel()
	if err := m.settle(ctx); err != nil {
		return nil, fmt.Errorf("boot %s: %w\n%s", p.root, err, m.diagnosis())
	}
	return m, nil
}

// start runs the boot script as PID 1 of new namespaces, in m's cgroup.
func (m *Machine) start(p place) error {
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

	cmd := exec.Command("/bin/sh", "-c", bootScript, "sh", p.root, terminal.Name(), "holdfast")
	cmd.Env = cleanEnv()
	cmd.Stdout, cmd.Stderr = terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		// Unshared in the child, when it is in its cgroup: the root of the
		// new cgroup namespace. Go makes the mounts private on the way.
		Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
		UseCgroupFD:  true,
		CgroupFD:     int(group.Fd()),
	}
	if err := cmd.Start(); err != nil {
		return cannot("the kernel refuses new namespaces: %w", err)
	}
	m.pid = cmd.Process.Pid
	m.root = fmt.Sprintf("/proc/%d/root", m.pid)
	m.console.follow()
	go func() {
		m.exit = cmd.Wait()
		close(m.exited)
	}()
	return nil
}

// settle waits until systemd has finished its start-up.
func (m *Machine) settle(ctx context.Context) error {
	// systemctl fails where nobody listens yet, so wait for the socket first.
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		if _, err := os.Stat(m.root + "/run/systemd/private"); err == nil {
			tick.Stop()
			break
		}
		select {
		case <-tick.C:
		case <-m.exited:
			return fmt.Errorf("PID 1 ended before systemd was up: %v", m.exit)
		case <-ctx.Done():
			return errors.New("systemd did not open its socket in time")
		}
	}
	out, err := m.run(ctx, "systemctl", "is-system-running", "--wait")
	switch state := strings.TrimSpace(out); state {
	case "running":
	case "degraded":
		failed, _ := m.run(ctx, "systemctl", "--failed", "--plain", "--no-legend", "--no-pager")
		m.t.Logf("systemdtest: the machine is up, with failed units:\n%s", failed)
	default:
		return fmt.Errorf("systemd says it is %q: %w", state, err)
	}
	out, err = m.run(ctx, "systemctl", "--version")
	if err != nil {
		return err
	}
	if m.version, err = parseVersion(out); err != nil {
		return err
	}
	m.network, err = openNetwork(m.pid)
	return err
}

// openConsole makes the pseudo-terminal that becomes the machine's console.
func openConsole() (*console, *os.File, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, cannot("no pseudo-terminal: open /dev/ptmx: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("unlock a pseudo-terminal: %w", err)
	}
	// Kept open until the end: without it a read of the master fails
	// whenever nobody in the machine has the console open.
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		master.Close()
		return nil, nil, cannot("no pseudo-terminal: %w", err)
	}
	return &console{master: master, terminal: terminal}, terminal, nil
}

// place is what the host offers a machine.
type place struct {
	root    string
	cgroups string
	tools   tools
}

// look finds what a machine needs, or says what is missing.
func look(root string) (place, error) {
	if os.Geteuid() != 0 {
		return place{}, cannot("it takes root to make namespaces, and this is user %d", os.Geteuid())
	}
	if root == "" {
		root = "/"
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return place{}, err
	}
	if !hasSystemd(root) {
		return place{}, cannot("no systemd in %s", root)
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return place{}, err
	}
	cgroups := findCgroup2(string(mountinfo))
	if cgroups == "" {
		return place{}, cannot("no cgroup2 file system is mounted")
	}
	tools, err := findTools()
	if err != nil {
		return place{}, err
	}
	return place{root: root, cgroups: cgroups, tools: tools}, nil
}

func hasSystemd(root string) bool {
	for _, f := range []string{"usr/lib/systemd/systemd", "lib/systemd/systemd"} {
		if info, err := os.Stat(filepath.Join(root, f)); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}
