package process

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/activation"
)

// envCgroup tells the step which cgroup it is to join.
const envCgroup = "HANDOFFD_CGROUP"

// ExecStep is to be called first in main: see activation.ExecStep. In a process
// that is to become a generation it does not return but with an error.
func ExecStep() error { return activation.ExecStep(joinCgroup, tellPID, ignorePipe, unblockSignals) }

// joinCgroup moves this process into the generation's cgroup, where it could not be
// made there (see cgroups.probe).
func joinCgroup() error {
	dir, ok := os.LookupEnv(envCgroup)
	if !ok {
		return nil
	}
	os.Unsetenv(envCgroup)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0); err != nil {
		return fmt.Errorf("join the cgroup: %w", err)
	}
	return nil
}

// tellPID sets the variables that hold the process's own number, as far as they
// are there.
func tellPID() error {
	pid := strconv.Itoa(os.Getpid())
	for _, name := range []string{"WATCHDOG_PID", "SYSTEMD_EXEC_PID"} {
		if _, ok := os.LookupEnv(name); ok {
			os.Setenv(name, pid)
		}
	}
	return nil
}

// ignorePipe has SIGPIPE ignored in a generation, as it is in a service
// (IgnoreSIGPIPE=yes of systemd.exec(5), the default): the Go runtime has taken that
// back, here and in the process above.
func ignorePipe() error {
	signal.Ignore(syscall.SIGPIPE)
	return nil
}

// unblockSignals gives a generation the mask that a service manager would. It is
// the last step before the program, in the same thread.
func unblockSignals() error {
	runtime.LockOSThread()
	return unix.PthreadSigmask(unix.SIG_SETMASK, new(unix.Sigset_t), nil)
}
