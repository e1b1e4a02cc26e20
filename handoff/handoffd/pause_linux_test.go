package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
)

const preforkWorkers = 3

// startPrefork starts handoffd with a pre-fork server that has these flags, and
// returns when a worker answers.
func startPrefork(t *testing.T, flags ...string) *instance {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("HOLDFAST_E2E") == "require" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	script, err := filepath.Abs("../internal/workers/testdata/prefork.py")
	if err != nil {
		t.Fatal(err)
	}
	d := standalone(t, append(flags, "--compat", "server-starter", "--ready", "exec", "--stop-signal", "QUIT", "--", python, script, strconv.Itoa(preforkWorkers))...)
	c := d.visitor()
	echo(t, c)
	return d
}

// echo has a byte come back.
func echo(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte{1}); err != nil {
		t.Error(err)
	} else if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// accepted connects, and returns once a worker of the generation that serves has the
// connection: one descriptor more than the others.
func (d *instance) accepted() net.Conn {
	d.t.Helper()
	pid := d.status().Generations[0].PID
	same := func() bool {
		var counts []int
		for _, child := range children(d.t, pid) {
			list, _ := os.ReadDir("/proc/" + child + "/fd")
			counts = append(counts, len(list))
		}
		return slices.Min(counts) == slices.Max(counts)
	}
	poll.Until(d.t, "idle workers", same)
	c := d.visitor()
	poll.Until(d.t, "a worker that accepts", func() bool { return !same() })
	return c
}

// children lists the PIDs of a program's workers.
func children(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// standing counts the children of a process that stand still: the S of their states is
// a T then.
func standing(t *testing.T, pid int) int {
	t.Helper()
	n := 0
	for _, child := range children(t, pid) {
		if stat, err := os.ReadFile("/proc/" + child + "/stat"); err == nil && strings.Contains(string(stat), ") T ") {
			n++
		}
	}
	return n
}

// TestPauseWorkers: the stop signal waits for a worker that has a connection, and who
// is in a hurry does not wait for that.
func TestPauseWorkers(t *testing.T) {
	d := startPrefork(t, "--pause-workers", "10m", "--drain-timeout", "1h")
	busy := d.accepted()
	old := d.status().Generations[0].PID
	if out, code := verb(t, "reload", "--control", d.control); code != 0 {
		t.Fatalf("reload exits with %d: %s", code, out)
	}
	poll.Until(t, "the idle workers to stand still", func() bool { return standing(t, old) == preforkWorkers-1 })
	replaced := make(chan string, 1)
	go func() { // which would forget them, and waits
		out, _ := verb(t, "reexec", "--control", d.control)
		replaced <- out
	}()
	echo(t, busy)
	if out := <-replaced; !strings.Contains(out, "has replaced itself") {
		t.Errorf("the reexec: %s", out)
	}
	poll.Until(t, "the end of generation 1", d.alone)
	echo(t, d.visitor())

	d.accepted()
	old = d.status().Generations[0].PID
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the idle workers to stand still", func() bool { return standing(t, old) == preforkWorkers-1 })
	d.stop(syscall.SIGINT)
}
