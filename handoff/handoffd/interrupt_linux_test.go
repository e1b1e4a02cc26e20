package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
)

// TestInterrupts: whoever interrupts twice at a terminal does not want to wait for
// the drain. Repeated SIGTERM is what systemd does with KillMode=control-group, and
// no reason to hurry.
func TestInterrupts(t *testing.T) {
	deaf := filepath.Join(t.TempDir(), "deaf")
	d := standalone(t, "--debug", "--ready", "exec", "--drain-timeout", "10m", "--",
		"/bin/sh", "-c", "trap '' TERM; : >"+deaf+"; while true; do sleep 1000; done")
	poll.Until(t, "the program to be deaf", func() bool { _, err := os.Stat(deaf); return err == nil })
	signal := func(sig syscall.Signal) {
		t.Helper()
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGINT)
	poll.Until(t, "the drain", func() bool {
		out, _ := verb(t, "status", "--control", d.control)
		return strings.HasPrefix(out, "stopping") && strings.Contains(out, "draining")
	})
	for range 3 {
		signal(syscall.SIGTERM)
	}
	err := d.stop(syscall.SIGINT)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 128+int(syscall.SIGKILL) {
		t.Errorf("handoffd ends with %v, want the status of a program that was killed", err)
	}
	if n := strings.Count(d.out.String(), "event: hurry asked"); n != 1 {
		t.Errorf("it was in a hurry %d times, want once", n)
	}
}
