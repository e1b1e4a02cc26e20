package reexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
)

// A Launcher starts children of this process that are no generation's. A process.Runner
// is one.
type Launcher interface {
	// Launch returns where the child's end is told, once.
	Launch(ctx context.Context, cmd *exec.Cmd) (ended <-chan generation.ExitStatus, err error)
}

// A Program is one that takes the place of this one.
type Program struct {
	Path string
	Args []string // its name first
}

const (
	// trialTimeout bounds how long a new program may take to read the state.
	trialTimeout = 10 * time.Second

	// killTimeout bounds how long the end of a child may take that was killed.
	killTimeout = 5 * time.Second
)

// A TrialError says why a program cannot take the place of this one.
type TrialError struct {
	Path   string
	Reason string
	Output []string // its last lines
}

func (e *TrialError) Error() string {
	return fmt.Sprintf("%s cannot take over: %s", e.Path, e.Reason)
}

// Try starts the new program as a child, which reads the state and says whether it could
// go on, and returns its version. Where it could not, the error is a *TrialError. The
// child is killed when ctx ends, and what it has left behind with it. env is its
// environment, which must hold no way to speak for the service.
func Try(ctx context.Context, l Launcher, p Program, d Document, files *Files, env []string) (version string, err error) {
	const first = 5 // behind the state and the answer
	h := d.header()
	h.PID, h.Descriptors = os.Getpid(), nil
	for n := range files.list {
		h.Descriptors = append(h.Descriptors, first+n)
	}
	state, err := Seal(d)
	if err != nil {
		return "", err
	}
	defer state.Close()
	answer, child, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer answer.Close()
	out, stderr, err := process.NewOutput(io.Discard)
	if err != nil {
		child.Close()
		return "", err
	}
	defer out.Close()

	cmd := &exec.Cmd{Path: p.Path, Args: p.Args, Stdout: stderr, Stderr: stderr}
	cmd.Env = append(slices.Clip(env), envState+"=3", envTrial+"=4")
	cmd.ExtraFiles = slices.Concat([]*os.File{state, child}, files.list)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended, err := l.Launch(ctx, cmd)
	child.Close()
	stderr.Close()
	if err != nil {
		return "", &TrialError{Path: p.Path, Reason: err.Error()}
	}
	status, err := awaitTrial(ctx, cmd.Process, ended)
	out.Flush()
	if err == nil && status == (generation.ExitStatus{}) {
		answer.SetReadDeadline(time.Now().Add(time.Second))
		text, _ := io.ReadAll(io.LimitReader(answer, 256))
		if version, ok := strings.CutPrefix(string(text), passed); ok {
			return version, nil
		}
		err = errors.New("it does not know how, or is another program")
	}
	lines := out.Lines()
	switch {
	case err != nil:
	case len(lines) > 0:
		err = errors.New(lines[len(lines)-1])
		lines = lines[:len(lines)-1]
	default:
		err = errors.New(status.String())
	}
	return "", &TrialError{Path: p.Path, Reason: err.Error(), Output: lines}
}

// awaitTrial waits for the end of the child, and kills what takes too long, or longer
// than ctx, and what it has left behind. A child that outlived the service would have to
// be killed by the service manager, which says so.
func awaitTrial(ctx context.Context, p *os.Process, ended <-chan generation.ExitStatus) (status generation.ExitStatus, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, trialTimeout, fmt.Errorf("it does not answer within %v", trialTimeout))
	defer cancel()
	defer p.Release()
	kill := func() { unix.Kill(-p.Pid, unix.SIGKILL) }
	defer kill()
	select {
	case status = <-ended:
		return status, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	kill()
	select {
	case status = <-ended:
	case <-time.After(killTimeout): // the kernel does not let go of it
	}
	return status, err
}
