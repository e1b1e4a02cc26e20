package reexec

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Replace executes the new program, which finds the document, and the files open. It
// returns only if that fails, and then all is as before. env is the environment of the
// new program. Nothing may change meanwhile: what happens later than the document was
// made is lost.
func Replace(p Program, d Document, files *Files, env []string) error {
	h := d.header()
	h.PID, h.Descriptors = os.Getpid(), files.numbers()
	state, err := Seal(d)
	if err != nil {
		return err
	}
	defer state.Close()
	all := &Files{list: append(files.list[:len(files.list):len(files.list)], state)}
	numbers := all.numbers()
	env = append(env[:len(env):len(env)], envState+"="+strconv.Itoa(numbers[len(numbers)-1]))
	return execute(p, env, all.list)
}

// execute is execve(2) with files left open. It returns only if it fails, and then all
// is as before.
func execute(p Program, env []string, files []*os.File) error {
	syscall.ForkLock.Lock() // no child gets them
	defer syscall.ForkLock.Unlock()
	defer setCloseOnExec(files, true)
	if err := setCloseOnExec(files, false); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var mask unix.Sigset_t
	all := everySignal()
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &mask); err != nil {
		return os.NewSyscallError("rt_sigprocmask", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil)
	// Package syscall gives the new program the limit that this one was started
	// with, and does not take that back.
	var limit unix.Rlimit
	if unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit) == nil {
		defer setOpenFiles(limit)
	}
	return fmt.Errorf("execute %s: %w", p.Path, syscall.Exec(p.Path, p.Args, env))
}

// setOpenFiles sets the limit without the knowledge of package syscall, which
// would from then on pass it on to generations.
func setOpenFiles(limit unix.Rlimit) {
	unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
}
