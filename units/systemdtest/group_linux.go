package systemdtest

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

//go:embed reap.sh
var reapScript string

// findCgroup2 returns where the cgroup2 hierarchy is mounted, or "".
func findCgroup2(mountinfo string) string {
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && len(fields) >= 5 && strings.HasPrefix(after, "cgroup2 ") {
			return fields[4]
		}
	}
	return ""
}

var machines atomic.Int64

// newGroup makes a cgroup for a machine. Its name carries the identity of this
// process, so that what a killed test leaves can be told from a live one's.
func newGroup(base string) (string, error) {
	me, err := identity("self")
	if err != nil {
		return "", err
	}
	group := filepath.Join(base, fmt.Sprintf("%s%s-%d", groupPrefix, me, machines.Add(1)))
	if err := os.Mkdir(group, 0o755); err != nil {
		return "", cannot("no cgroup can be made: %w", err)
	}
	return group, nil
}

const groupPrefix = "holdfast-"

// identity names a process for as long as the kernel runs: its PID namespace,
// its PID in it and its start time.
func identity(pid string) (string, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", err
	}
	var ns syscall.Stat_t
	if err := syscall.Stat("/proc/"+pid+"/ns/pid", &ns); err != nil {
		return "", fmt.Errorf("stat /proc/%s/ns/pid: %w", pid, err)
	}
	number, rest, _ := strings.Cut(string(stat), " ")
	// The second field is the name in brackets, and may hold anything.
	fields := strings.Fields(rest[strings.LastIndexByte(rest, ')')+1:])
	if len(fields) < 20 {
		return "", fmt.Errorf("/proc/%s/stat: %q is too short", pid, stat)
	}
	return fmt.Sprintf("%d-%s-%s", ns.Ino, number, fields[19]), nil
}

// sweep removes the cgroups of machines whose owner has died in such a way that
// its reaper died too.
func sweep(base string) {
	me, err := identity("self")
	if err != nil {
		return
	}
	namespace, _, _ := strings.Cut(me, "-")
	entries, _ := os.ReadDir(base)
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), groupPrefix)
		parts := strings.Split(name, "-")
		if !ok || len(parts) != 4 || parts[0] != namespace {
			continue // not a machine, or its owner cannot be seen from here
		}
		owner, err := identity(parts[1])
		if err == nil && owner == strings.Join(parts[:3], "-") {
			continue
		}
		exec.Command("/bin/sh", "-c", reapScript, "sh", filepath.Join(base, e.Name())).Run()
	}
}

// reaper is the process that ends a machine: when it is told to, and when its
// owner dies, even by SIGKILL.
type reaper struct {
	alive io.WriteCloser
	cmd   *exec.Cmd
	said  strings.Builder
}

func startReaper(group string) (*reaper, error) {
	r := &reaper{cmd: exec.Command("/bin/sh", "-c", reapScript, "sh", group)}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.cmd.Stderr = &r.said
	var err error
	if r.alive, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return r, nil
}

// reap ends the machine and waits until it is gone.
func (r *reaper) reap() error {
	r.alive.Close()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("reap: %w: %s", err, r.said.String())
	}
	return nil
}

// killGroup kills every process in a cgroup and below it.
func killGroup(group string) error {
	err := os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Before Linux 5.14 one by one, until a round finds nobody new.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		procs, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		if err != nil || len(procs) == 0 {
			return err
		}
		for _, field := range strings.Fields(string(procs)) {
			if pid, err := strconv.Atoi(field); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("processes in %s do not die", group)
}
