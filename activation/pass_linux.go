package activation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// envStep tells a process that it is the step, as "FD:PATH": the pipe on which it
// reports, and the program to execute.
const envStep = "HOLDFAST_EXEC_STEP"

// stepCalled tells that main calls ExecStep. Without it the child would run main
// instead of the program, and perhaps start children in its turn.
var stepCalled atomic.Bool

// What the step writes to its pipe: stepReached when it is about to execute the
// program, and then nothing more, as the pipe closes on execution; or the number
// of an error (0 if it has none), a colon, and its text. A pipe that closes empty
// means that the child died on the way.
const stepReached = "x"

// maxReport bounds what is read from the pipe. An error's text is far shorter.
const maxReport = 4096

func start(ctx context.Context, cmd *exec.Cmd, files []NamedFile) error {
	fail := func(err error) error {
		return fmt.Errorf("activation: start %s: %w", cmd.Path, err)
	}
	if !stepCalled.Load() {
		return fail(ErrNoStep)
	}
	if cmd.Err != nil {
		return fail(cmd.Err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	env, err := Environ(cmd.Environ(), names...)
	if err != nil {
		return fail(err)
	}
	report, err := spawn(cmd, env, files)
	if err != nil {
		return fail(err)
	}
	defer report.Close()
	if err := awaitStep(ctx, report); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		if errors.Is(err, errStepDied) {
			err = fmt.Errorf("%w: %v", err, cmd.ProcessState)
		}
		return fail(err)
	}
	return nil
}

// spawn starts the step for cmd, and returns the pipe on which it reports.
func spawn(cmd *exec.Cmd, env []string, files []NamedFile) (*os.File, error) {
	report, child, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// os/exec asks every file for its descriptor by Fd, which makes those blocking
	// that package net or os made non-blocking, and with them the caller's own
	// sockets. A duplicate that was non-blocking from the start it leaves alone.
	mine := []*os.File{child}
	defer func() {
		for _, f := range mine {
			f.Close()
		}
	}()
	var extra []*os.File
	for _, f := range files {
		d, err := duplicate(f.File)
		if err != nil {
			report.Close()
			return nil, fmt.Errorf("pass %q: %w", f.Name, err)
		}
		mine = append(mine, d)
		extra = append(extra, d)
	}
	// The program keeps its own arguments, and for the caller cmd stays as it was.
	defer func(path string, args, env []string, extra []*os.File) {
		cmd.Path, cmd.Args, cmd.Env, cmd.ExtraFiles = path, args, env, extra
	}(cmd.Path, cmd.Args, cmd.Env, cmd.ExtraFiles)
	if len(cmd.Args) == 0 {
		cmd.Args = []string{cmd.Path}
	}
	cmd.ExtraFiles = slices.Concat(extra, cmd.ExtraFiles, []*os.File{child})
	cmd.Env = append(env, fmt.Sprintf("%s=%d:%s", envStep, firstFD+len(cmd.ExtraFiles)-1, cmd.Path))
	// The link leads to this very program, also when another has taken its path.
	cmd.Path = "/proc/self/exe"
	if err := cmd.Start(); err != nil {
		report.Close()
		return nil, err
	}
	return report, nil
}

var errStepDied = errors.New("the child died before it executed the program")

// awaitStep waits until the step has executed the program or failed, or ctx ends.
func awaitStep(ctx context.Context, report *os.File) error {
	stop := context.AfterFunc(ctx, func() { report.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(report, maxReport))
	rest, reached := strings.CutPrefix(string(text), stepReached)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case rest != "":
		number, message, _ := strings.Cut(rest, ":")
		errno, _ := strconv.Atoi(number)
		return &stepError{errno: syscall.Errno(errno), message: message}
	case !reached:
		return errStepDied
	}
	return nil
}

// stepError is an error of the step, as it is seen by its parent.
type stepError struct {
	errno   syscall.Errno
	message string
}

func (e *stepError) Error() string { return e.message }

func (e *stepError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

func execStep(steps []func() error) error {
	stepCalled.Store(true)
	spec, ok := os.LookupEnv(envStep)
	if !ok {
		return nil
	}
	os.Unsetenv(envStep)
	number, path, ok := strings.Cut(spec, ":")
	fd, err := strconv.Atoi(number)
	if !ok || err != nil || fd < firstFD {
		return fmt.Errorf("activation: %s=%s: %w: want FD:PATH", envStep, quote(spec), ErrVariable)
	}
	if privileged() {
		// Whoever starts such a program chooses its environment. It must not
		// choose what runs with the program's privileges.
		return fmt.Errorf("activation: %s=%s: refused in a program with privileges of its own", envStep, quote(spec))
	}
	// The pipe has the last of the numbers that are meant to be passed on. What is
	// above came to this program by mistake, and goes no further; kernels before
	// 5.11 do not have the call.
	unix.CloseOnExec(fd)
	unix.CloseRange(uint(fd), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	report := os.NewFile(uintptr(fd), envStep)
	defer report.Close()
	err = become(path, steps, report)
	var errno syscall.Errno
	errors.As(err, &errno)
	fmt.Fprintf(report, "%d:%v", int(errno), err)
	return fmt.Errorf("activation: %w", err)
}

// become makes this process the program, and returns only if that fails.
func become(path string, steps []func() error, report io.Writer) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	if _, ok := os.LookupEnv(envFDs); ok {
		os.Setenv(envPID, strconv.Itoa(os.Getpid()))
		if id, ok := ownPidfdID(); ok {
			os.Setenv(envPIDFDID, strconv.FormatUint(id, 10))
		}
	}
	if _, err := io.WriteString(report, stepReached); err != nil {
		return err // the parent is gone
	}
	return fmt.Errorf("execute %s: %w", path, syscall.Exec(path, os.Args, os.Environ()))
}

// privileged tells whether the kernel gave this process privileges by its
// executable: set-user-ID, set-group-ID or file capabilities, ld.so(8).
func privileged() bool {
	const atSecure = 23 // AT_SECURE of getauxval(3)
	auxv, err := unix.Auxv()
	if err != nil {
		return os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid()
	}
	return slices.Contains(auxv, [2]uintptr{atSecure, 1})
}
