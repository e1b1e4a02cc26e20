package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

func TestIdleConnectionsGoOn(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.InstallFile("/usr/local/bin/holder", systemdtest.BuildTest(t), 0o755)
		exampletest.EachWay(t, m, name, func(t *testing.T, way exampletest.Way) { idleConnectionsGoOn(t, m, way) })
	})
}

func idleConnectionsGoOn(t *testing.T, m *systemdtest.Machine, way exampletest.Way) {
	const (
		connections  = 16_000
		fewest       = 1_000 // that are worth the test
		replacements = 3
		entries      = 8 // of the fd store, at most
		stored       = "/run/stored"
	)
	used := func() string { return m.Property(service, "NFileDescriptorStore") }
	if way.Name == "restart" {
		// What the store has when one process is gone, and the next is not there yet.
		m.InstallUnit(service+".d/test.conf", "[Service]\nExecStartPre=+/bin/sh -c 'systemctl show --value -p NFileDescriptorStore "+service+" >"+stored+"'\n")
		defer m.InstallUnit(service+".d/test.conf", "")
		used = func() string { return strings.TrimSpace(string(m.ReadFile(stored))) }
	}
	h := holder{t: t, cmd: m.Command(exampletest.Deadline(t), "/usr/local/bin/holder", fmt.Sprint(connections))}
	h.cmd.Env = append(h.cmd.Env, helperVariable+"=hold")
	h.start()
	n := h.answered()
	if n < connections {
		t.Logf("the limit of open files allows %d connections of %d", n, connections)
	}
	if n < fewest {
		t.Fatalf("%d connections are too few, want %d", n, fewest)
	}
	for i := range replacements {
		began := time.Now()
		way.Replace()
		took := time.Since(began)
		if got := h.ask(); got != n {
			t.Fatalf("after %s %d: %d connections answered, want %d", way.Name, i+1, got, n)
		}
		used, err := strconv.Atoi(used())
		if err != nil || used < 1 || used > entries {
			t.Errorf("%s %d: the fd store had %d entries (error %v), want 1 to %d", way.Name, i+1, used, err, entries)
		}
		t.Logf("%s %d: %d connections in %d entries, %v", way.Name, i+1, n, used, took)
	}
	h.end()
	pid := way.PID()
	exampletest.WaitFor(t, exampletest.Deadline(t), "the service to close its connections", func() bool {
		return len(strings.Fields(m.Output("ls", "/proc/"+pid+"/fd"))) < 50
	})
}

// A holder is the helper hold at work.
type holder struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr bytes.Buffer
}

func (h *holder) start() {
	h.t.Helper()
	out, err := h.cmd.StdoutPipe()
	if err == nil {
		h.in, err = h.cmd.StdinPipe()
	}
	h.cmd.Stderr = &h.stderr
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.out = bufio.NewScanner(out)
	h.t.Cleanup(func() { h.in.Close() })
}

// ask has every connection asked, and returns how many answered.
func (h *holder) ask() int {
	h.t.Helper()
	if _, err := io.WriteString(h.in, "\n"); err != nil {
		h.t.Fatalf("%v: %s", err, h.stderr.String())
	}
	return h.answered()
}

func (h *holder) answered() int {
	h.t.Helper()
	if !h.out.Scan() {
		err := h.cmd.Wait()
		h.t.Fatalf("the clients ended: %v: %s", err, h.stderr.String())
	}
	n, err := strconv.Atoi(h.out.Text())
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// end closes all connections.
func (h *holder) end() {
	h.t.Helper()
	h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		h.t.Errorf("the clients ended: %v: %s", err, h.stderr.String())
	}
}
