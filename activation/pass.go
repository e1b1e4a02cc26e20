package activation

import (
	"context"
	"os"
	"os/exec"
)

// NamedFile is a descriptor to pass to a child, under a name.
type NamedFile struct {
	Name string
	File *os.File
}

// Start starts cmd as an activated process: it holds the files as descriptors 3
// and up, in order, and its environment says so as a manager's would, with
// LISTEN_PID, LISTEN_PIDFDID (where the kernel has it), LISTEN_FDS and
// LISTEN_FDNAMES. What cmd.Env, or the process's environment, has of another
// activation is left out. Files in cmd.ExtraFiles follow behind the passed ones, and beyond these
// and the standard three the program holds no descriptor. (Before Linux 5.11 it also holds
// what this process holds without close-on-exec.)
//
// LISTEN_PID is the child's own number, which nobody knows before the child
// exists. So the child is first this program once more, whose main calls
// [ExecStep]; that sets the variables and executes cmd's program in its place.
// Start returns when the program has been executed.
//
// The caller keeps the files, and closes them; their mode (O_NONBLOCK) does not
// change. After an error no process is left, and with cmd.Wait the caller waits
// for a started one, as after [exec.Cmd.Start]. errors.Is finds ErrName,
// ErrNoStep, the context's error if it ended before the program was executed
// (later it does nothing), and the error of execve(2), as syscall.ENOENT.
//
// cmd.SysProcAttr applies to both. With Chroot, /proc must exist in the new root.
// Start works on Linux only; elsewhere the error is errors.ErrUnsupported.
func Start(ctx context.Context, cmd *exec.Cmd, files ...NamedFile) error {
	return start(ctx, cmd, files)
}

// ExecStep is the child's part of [Start]. A program that calls Start calls it
// first in main:
//
//	func main() {
//		if err := activation.ExecStep(); err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(127)
//		}
//		...
//
// In a process that Start did not start, it returns nil at once. In one that
// it did, it calls the steps in order, to prepare the process further, such as to
// join a cgroup, and then becomes the program. It returns only with an error, of a
// step or of the execution, which Start in the parent returns too; the process has
// nothing to do then but to exit.
//
// A step must leave the descriptors from 3 on as they are. What it changes in the
// environment the program sees.
func ExecStep(steps ...func() error) error {
	return execStep(steps)
}
