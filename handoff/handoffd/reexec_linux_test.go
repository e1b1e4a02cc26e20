package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/handoffd/internal/daemon"
	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/units/poll"
)

// status returns how the service is.
func (d *instance) status() control.Status {
	d.t.Helper()
	out, code := verb(d.t, "status", "--json", "--control", d.control)
	var s control.Status
	if code != 0 && code != exitDown {
		d.t.Fatalf("status exits with %d: %s", code, out)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// openDescriptors returns how many a process has.
func openDescriptors(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// ordinary reports whether a process was started as systemd does it, with no signal
// blocked or ignored. A Go program has one thread that blocks most, and whatever
// others inherited.
func ordinary(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) < 2 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	return slices.ContainsFunc(threads, func(path string) bool {
		text, _ := os.ReadFile(path) // of one that has ended there is none
		return strings.Contains(string(text), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n")
	})
}

// TestReexec: handoffd replaces itself over and over, and nobody notices.
func TestReexec(t *testing.T) {
	const times = 10
	d := standalone(t)
	pid := d.status().Generations[0].PID
	if !ordinary(t, pid) {
		t.Error("the generation blocks or ignores signals")
	}
	ours, theirs := 0, openDescriptors(t, pid)
	for i := range times {
		if out, code := verb(t, "reexec", "--control", d.control); code != 0 {
			t.Fatalf("reexec exits with %d: %s", code, out)
		}
		s := d.status()
		if s.Reexecs != uint64(i+1) || s.PID != d.cmd.Process.Pid || len(s.Generations) != 1 || s.Generations[0].PID != pid {
			t.Fatalf("after %d times the status is %+v", i+1, s)
		}
		if got, want := d.get(), "generation 1, hello"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		if i == 0 {
			ours = openDescriptors(t, d.cmd.Process.Pid)
		}
	}
	poll.Until(t, fmt.Sprintf("%d descriptors", ours), func() bool { return openDescriptors(t, d.cmd.Process.Pid) <= ours+slack })
	// More than in the beginning are connections on their way out.
	poll.Until(t, fmt.Sprintf("%d descriptors of the generation", theirs), func() bool { return openDescriptors(t, pid) <= theirs+slack })
	if out, code := verb(t, "reload", "--control", d.control); code != 0 || out != "generation 2: done\n" {
		t.Errorf("reload exits with %d: %s", code, out)
	}
	poll.Until(t, "the end of generation 1", d.alone)
	pid = d.status().Generations[0].PID
	poll.Until(t, fmt.Sprintf("%d descriptors of generation 2", theirs), func() bool { return openDescriptors(t, pid) <= theirs+slack })
	if !ordinary(t, pid) {
		t.Error("generation 2 blocks or ignores signals")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "another generation", func() bool { s := d.status(); return len(s.Generations) == 1 && s.Generations[0].Number == 3 })
	for i, sig := range []syscall.Signal{daemon.SignalReload, syscall.SIGHUP} {
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		poll.Until(t, "a reload by signal", func() bool { return d.get() == fmt.Sprintf("generation %d, hello", 4+i) && d.alone() })
	}
	if err := d.cmd.Process.Signal(daemon.SignalReexec); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "a reexec by signal", func() bool { return d.status().Reexecs == times+1 })
	if err := d.stop(daemon.SignalStop); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(d.control), "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("%q are left, %v; want env and http", left, err)
	}
}

// hang puts a program into handoffd's place that does not come up, and starts another.
// It returns the file in which both write their PIDs.
func (d *instance) hang() (pids string) {
	d.t.Helper()
	pids = filepath.Join(d.t.TempDir(), "pids")
	next := filepath.Join(d.t.TempDir(), "next")
	script := "#!/bin/sh\nsleep 1000 &\necho $$ $! > " + pids + ".new && mv " + pids + ".new " + pids + "\nwait\n"
	if err := os.WriteFile(next, []byte(script), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Rename(next, d.link); err != nil {
		d.t.Fatal(err)
	}
	return pids
}

// TestReexecToHanging: a program that does not come up is killed, and what it has
// started with it.
func TestReexecToHanging(t *testing.T) {
	d := standalone(t)
	pids := d.hang()
	out, code := verb(t, "reexec", "--control", d.control)
	if code != exitUndone || !strings.Contains(out, "does not answer") {
		t.Errorf("reexec exits with %d: %s", code, out)
	}
	text, err := os.ReadFile(pids)
	if err != nil || len(strings.Fields(string(text))) != 2 {
		t.Fatalf("it was not started: %q, %v", text, err)
	}
	for _, pid := range strings.Fields(string(text)) {
		poll.Until(t, "the end of "+pid, func() bool {
			_, err := os.Stat("/proc/" + pid)
			return os.IsNotExist(err)
		})
	}
	if got, want := d.get(), "generation 1, hello"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if out, code := verb(t, "reload", "--control", d.control); code != 0 {
		t.Errorf("reload exits with %d: %s", code, out)
	}
}

// TestStopWhileTrial: a program that is still being tried does not outlive handoffd,
// or the manager would have to kill it.
func TestStopWhileTrial(t *testing.T) {
	d := standalone(t)
	pids := d.hang()
	if err := d.cmd.Process.Signal(daemon.SignalReexec); err != nil {
		t.Fatal(err)
	}
	var pid string
	poll.Until(t, "the trial", func() bool {
		text, _ := os.ReadFile(pids)
		pid, _, _ = strings.Cut(string(text), " ")
		return pid != ""
	})
	if err := d.stop(daemon.SignalStop); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
	if _, err := os.Stat("/proc/" + pid); !os.IsNotExist(err) {
		t.Errorf("the trial, %s, is still there: %v", pid, err)
	}
}
