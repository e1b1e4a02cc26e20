package supervisor

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// TestStartedTooLate: a program that has come up after its generation was given up is
// killed. It would accept beside those that serve, and nobody would hear it.
func TestStartedTooLate(t *testing.T) {
	leaktest.Check(t)
	s, err := newSupervisor(Options{Program: []string{"sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{number: 1, cmd: exec.Command("sleep", "60")}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.processes[1] = p
	cmd := p.cmd
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Signal(syscall.SIGTERM) })
	defer late.Stop()
	s.forget(p)
	s.started(p)
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ends with %v, want it killed", exit)
	}
}
