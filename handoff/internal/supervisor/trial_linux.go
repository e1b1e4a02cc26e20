package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
)

// trialTimeout bounds how long a new program may take to read the state.
const trialTimeout = 10 * time.Second

// killTimeout bounds how long the end of a child may take that was killed.
const killTimeout = 5 * time.Second

// A TrialError says why a program cannot take the place of this one.
type TrialError struct {
	Path   string
	Reason string
	Output []string // its last lines
}

func (e *TrialError) Error() string {
	return fmt.Sprintf("%s cannot take over: %s", e.Path, e.Reason)
}

// passed begins what a program says that can go on with the state.
const passed = "passed "

// try starts the new program as a child, which reads the state and says whether it
// could go on.
func (s *Supervisor) try(ctx context.Context, i Image) error {
	var st *state
	var files []*os.File
	defer func() { fd.CloseAll(files) }()
	err := s.call(func() (err error) {
		st, files, err = s.capture()
		return err
	})
	if err != nil {
		return err
	}
	kept, err := i.Keep(st.Callers)
	kept.release()
	files = st.keep(kept, files)
	if err != nil {
		return err
	}
	const first = 5 // behind the state and the answer
	for n := range files {
		st.Descriptors = append(st.Descriptors, first+n)
	}
	memory, err := st.seal()
	if err != nil {
		return err
	}
	defer memory.Close()
	answer, child, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answer.Close()
	out, stderr, err := process.NewOutput(io.Discard)
	if err != nil {
		child.Close()
		return err
	}
	defer out.Close()

	cmd := &exec.Cmd{Path: i.Path, Args: i.Args, Stdout: stderr, Stderr: stderr}
	// It must have no way to speak for the service.
	cmd.Env = append(without(os.Environ(), "RUNTIME_DIRECTORY"), envState+"=3", envTrial+"=4")
	cmd.ExtraFiles = slices.Concat([]*os.File{memory, child}, files)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ended, err := s.runner.Launch(cmd)
	child.Close()
	stderr.Close()
	if err != nil {
		return &TrialError{Path: i.Path, Reason: err.Error()}
	}
	status, err := s.awaitTrial(ctx, cmd.Process, ended)
	if errors.Is(err, ErrEnded) {
		return err
	}
	out.Flush()
	if err == nil && status == (generation.ExitStatus{}) {
		answer.SetReadDeadline(time.Now().Add(time.Second))
		text, _ := io.ReadAll(io.LimitReader(answer, 256))
		if version, ok := strings.CutPrefix(string(text), passed); ok {
			s.log.Debug("the new program can take over", "program", i.Path, "version", version)
			return nil
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
	return &TrialError{Path: i.Path, Reason: err.Error(), Output: lines}
}

// awaitTrial waits for the end of the child, and kills what takes too long, or longer
// than the service, and what it has left behind. Run waits for it: whom a service
// leaves behind its manager kills, and says so.
func (s *Supervisor) awaitTrial(ctx context.Context, p *os.Process, ended <-chan generation.ExitStatus) (status generation.ExitStatus, err error) {
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
	case <-s.ended:
		err = ErrEnded
	}
	kill()
	select {
	case status = <-ended:
	case <-time.After(killTimeout): // the kernel does not let go of it
	}
	return status, err
}

// Pass answers the program that tries this one. version is what it logs.
func (h *Heir) Pass(version string) error {
	_, err := h.trial.WriteString(passed + version)
	return errors.Join(err, h.trial.Close())
}

// OnTrial reports whether this program is only to see if it could go on: with
// Restore, and then Pass.
func (h *Heir) OnTrial() bool { return h.trial != nil }

// trialFrom returns the descriptor of the answer.
func trialFrom(text string) (*os.File, error) {
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s=%q: %w: want a descriptor", envTrial, text, ErrState)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), envTrial), nil
}
