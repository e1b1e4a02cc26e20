package reexec

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// envBlocked says that BlockSignals was here already.
const envBlocked = "HANDOFFD_SIGNALS_BLOCKED"

// BlockSignals makes this program start anew with all signals blocked, if it was
// not, and then does not return: path is this program. A signal that is sent while
// Replace replaces the program then waits until somebody in the new one asks for it
// (signal.Notify). Without that the Go runtime would take and forget it, since it
// goes by the signal mask that the program was started with.
//
// This works for the signals that the runtime leaves alone: SIGUSR1, SIGUSR2, and
// those from 35 on among them, and SIGHUP, SIGINT, SIGQUIT and SIGTERM not.
func BlockSignals(path string) error {
	runtime.LockOSThread() // the main goroutine's, until the end: masks belong to threads
	defer runtime.UnlockOSThread()
	var now unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, nil, &now); err != nil {
		return fmt.Errorf("reexec: block signals: %w", err)
	}
	_, again := os.LookupEnv(envBlocked)
	os.Unsetenv(envBlocked)
	if blocked(&now, unix.SIGUSR1) && blocked(&now, unix.SIGUSR2) || again {
		return nil
	}
	all := everySignal()
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
		return fmt.Errorf("reexec: block signals: %w", err)
	}
	err := syscall.Exec(path, os.Args, append(os.Environ(), envBlocked+"=1"))
	unix.PthreadSigmask(unix.SIG_SETMASK, &now, nil)
	return fmt.Errorf("reexec: block signals: execute %s: %w", path, err)
}

func everySignal() unix.Sigset_t {
	var set unix.Sigset_t
	for i := range set.Val {
		set.Val[i] = ^set.Val[i]
	}
	return set
}

// blocked is for the standard signals, which are in the first word on every machine.
func blocked(set *unix.Sigset_t, sig syscall.Signal) bool {
	return set.Val[0]>>(uint(sig)-1)&1 != 0
}
