package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestWatch: status --watch tells each change, until the service has ended.
func TestWatch(t *testing.T) {
	d := standalone(t)
	watch := command(t, "status", "--watch", "--control", d.control)
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	lines := bufio.NewScanner(out)
	await := func(fields ...string) {
		t.Helper()
		for lines.Scan() {
			if f := strings.Fields(lines.Text()); len(f) >= len(fields) && strings.Join(f[:len(fields)], " ") == strings.Join(fields, " ") {
				return
			}
		}
		t.Fatalf("it does not tell of %q: %v", fields, lines.Err())
	}
	defer func() {
		if !stopped {
			watch.Process.Kill()
			watch.Wait()
		}
	}()
	await("1", "serving")
	if out, code := verb(t, "reload", "--control", d.control); code != exitDone {
		t.Fatalf("reload exits with %d: %s", code, out)
	}
	await("2", "serving")
	if err := d.stop(os.Interrupt); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
	io.Copy(io.Discard, out)
	stopped = true
	err = watch.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitUnavailable {
		t.Errorf("status --watch ends with %v, want exit status %d", err, exitUnavailable)
	}
}
