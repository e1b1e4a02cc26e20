// Package exampletest has what the end-to-end tests of the examples share.
package exampletest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// Timeout is what Deadline allows: far more than a test takes on a busy machine.
const Timeout = 5 * time.Minute

// Deadline returns a context that ends with t, and after Timeout.
func Deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	t.Cleanup(cancel)
	return ctx
}

// Install puts the program of the package under test into m, as
// /usr/local/bin/NAME, with its pair from folder units: NAME.socket and
// NAME.service. It starts neither.
func Install(t testing.TB, m *systemdtest.Machine, name string) {
	t.Helper()
	m.InstallFile("/usr/local/bin/"+name, systemdtest.Build(t, "."), 0o755)
	for _, unit := range []string{name + ".socket", name + ".service"} {
		text, err := units.Read(unit)
		if err != nil {
			t.Fatal(err)
		}
		m.InstallUnit(unit, text)
	}
}

// Release builds the program of the package under test with these flags for the linker,
// and returns it: for a test that replaces a program by another version of it.
func Release(t testing.TB, ldflags string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "-ldflags", ldflags, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// Restart restarts a service, and fails t if its main process is not another
// one afterwards.
func Restart(t testing.TB, m *systemdtest.Machine, service string) {
	t.Helper()
	replace(t, m, "restart", service, func() string { return mainPID(t, m, service) })
}

// Dial connects a client to a service in m. The connection ends with t, and has the
// deadline of Deadline.
func Dial(t testing.TB, m *systemdtest.Machine, address string) net.Conn {
	t.Helper()
	ctx := Deadline(t)
	conn, err := m.Dial(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	return conn
}

// Hold has each start of a service from now on wait until release is called: a
// test sees then what clients meet while no process is there.
func Hold(m *systemdtest.Machine, service string) (release func()) {
	released := "/run/released." + service
	m.InstallUnit(service+".d/hold.conf", "[Service]\nExecStartPre=+/bin/sh -c 'until [ -e "+released+" ]; do sleep 0.05; done'\n")
	return func() { m.WriteFile(released, nil, 0o644) }
}

// WaitFor returns once done does, and fails t if ctx ends first.
func WaitFor(t testing.TB, ctx context.Context, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, context.Cause(ctx))
		}
	}
}

// Program is a program that runs in a machine without being a service of its
// systemd.
type Program struct {
	m   *systemdtest.Machine
	cmd *exec.Cmd
	pid string
	log bytes.Buffer
}

// Start runs a program in m, from a shell. It ends with t.
func Start(t testing.TB, m *systemdtest.Machine, name string, args ...string) *Program {
	t.Helper()
	shell := []string{"-c", `echo $$ && exec "$@"`, "sh", name}
	p := &Program{m: m, cmd: m.Command(Deadline(t), "/bin/sh", append(shell, args...)...)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p.pid = strings.TrimSpace(p.pid)
	return p
}

// Terminate sends the program SIGTERM and waits for its end. The error has what
// it wrote to standard error.
func (p *Program) Terminate() error {
	p.m.Output("kill", "-TERM", p.pid)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, p.log.String())
	}
	return nil
}
