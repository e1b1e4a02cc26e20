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

var names atomic.Int64

// newName makes a name that tells whose it is: sweep leaves alone what belongs
// to a process that lives.
func newName() (string, error) {
	me, err := identity("self")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%s-%d", namePrefix, me, names.Add(1)), nil
}

// reaper is a process that removes a machine's cgroup, and all that runs in it,
// when it is told to or when this process dies, even by SIGKILL. It has a
// session of its own, so that what is sent to a process group or comes from a
// terminal does not end it.
type reaper struct {
	alive io.Closer // its standard input
	cmd   *exec.Cmd
	said  strings.Builder
}

func startReaper(group string) (*reaper, error) {
	r := &reaper{cmd: exec.Command("/bin/sh", "-c", reapScript, "reap", group)}
	r.cmd.Env = cleanEnv()
	r.cmd.Dir = "/"
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r.cmd.Stderr = &r.said
	alive, err := r.cmd.StdinPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	r.alive = alive
	return r, nil
}

// reap has the machine removed and waits until it is gone.
func (r *reaper) reap() error {
	r.alive.Close()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("reap: %w: %s", err, strings.TrimSpace(r.said.String()))
	}
	return nil
}

// reapNow removes a cgroup and all that runs in it.
func reapNow(group string) error {
	r, err := startReaper(group)
	if err != nil {
		return err
	}
	return r.reap()
}

// killGroup kills every process in a cgroup.
func killGroup(group string) error {
	err := os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Before Linux 5.14 one by one, until a round finds nobody.
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		procs, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		if err != nil || len(procs) == 0 {
			return err
		}
		for _, field := range strings.Fields(string(procs)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("processes in %s do not die", group)
}

// keepFolder removes a folder when this process has ended. It asks for the
// process once a second and holds nothing open here: what is built lasts as long
// as the process, and a test that counts its descriptors must not find one more.
const keepFolder = `while kill -0 "$1" 2>/dev/null; do sleep 1; done; rm -rf "$2"`

// buildFolder makes a folder that goes when this process does.
func buildFolder() (string, error) {
	name, err := newName()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(os.TempDir(), name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	keeper := exec.Command("/bin/sh", "-c", keepFolder, "keep", strconv.Itoa(os.Getpid()), folder)
	keeper.Env = cleanEnv()
	keeper.Dir = "/"
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := keeper.Start(); err != nil {
		return "", errors.Join(err, os.Remove(folder))
	}
	return folder, keeper.Process.Release()
}
