package main

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	httpProgram     = "github.com/holdfast-go/holdfast/examples/http"
	handoffdProgram = "github.com/holdfast-go/holdfast/handoff/handoffd"
	address         = "127.0.0.1:8080"
)

// A step is one way to replace a program.
type step struct {
	name    string
	verb    string
	address string
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	begin   func(t testing.TB)
	replace func(t testing.TB)
	end     func(t testing.TB)
}

// steps are the three on m, which has systemd.
func steps(t testing.TB, m *systemdtest.Machine, o options) []step {
	m.InstallFile("/usr/local/bin/holdfast-http", systemdtest.Build(t, httpProgram), 0o755)
	m.InstallFile("/usr/local/bin/handoffd", systemdtest.Build(t, handoffdProgram), 0o755)
	for _, unit := range []string{"holdfast-http.socket", "holdfast-http.service", "holdfast-app.socket", "holdfast-app.service"} {
		text, err := units.Read(unit)
		if err != nil {
			t.Fatal(err)
		}
		m.InstallUnit(unit, text)
	}
	slow := "/usr/local/bin/holdfast-http -start-delay " + o.startDelay.String()
	of := func(name, pair, verb, dropIn string) step {
		return step{
			name: name, verb: verb, address: address, dial: m.Dial,
			begin: func(testing.TB) {
				m.InstallUnit(pair+".service.d/demo.conf", "[Service]\n"+dropIn)
				m.Systemctl("start", pair+".socket", pair+".service")
			},
			replace: func(testing.TB) { m.Systemctl(verb, pair+".service") },
			end:     func(testing.TB) { m.Systemctl("stop", pair+".socket", pair+".service") },
		}
	}
	return []step{
		of("socket activation", "holdfast-http", "restart", "FileDescriptorStoreMax=0\nExecStart=\nExecStart="+slow+"\n"),
		of("and the fd store", "holdfast-http", "restart", "ExecStart=\nExecStart="+slow+"\n"),
		of("handoffd", "holdfast-app", "reload", "ExecStart=\nExecStart=/usr/local/bin/handoffd run -- "+slow+"\n"),
	}
}

// alone is handoffd without systemd: it binds the address itself.
func alone(t testing.TB, o options) step {
	handoffd := systemdtest.Build(t, handoffdProgram)
	program := systemdtest.Build(t, httpProgram)
	dir := t.TempDir()
	control := filepath.Join(dir, "control")
	free, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free now, as good as any
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	var running *exec.Cmd
	return step{
		name: "handoffd", verb: "reload", address: free.Addr().String(),
		begin: func(t testing.TB) {
			running = exec.Command(handoffd, "run", "--control", control, "--listen", "http="+free.Addr().String(), "--",
				program, "-start-delay", o.startDelay.String())
			running.Env = append(running.Environ(), "RUNTIME_DIRECTORY="+dir)
			var said strings.Builder
			running.Stdout, running.Stderr = &said, &said
			if err := running.Start(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(30 * time.Second); exec.Command(handoffd, "status", "--control", control).Run() != nil; time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					running.Process.Kill()
					t.Fatalf("handoffd does not answer: %v\n%s", running.Wait(), said.String())
				}
			}
		},
		replace: func(t testing.TB) {
			if out, err := exec.Command(handoffd, "reload", "--control", control).CombinedOutput(); err != nil {
				t.Fatalf("handoffd reload: %v\n%s", err, out)
			}
		},
		end: func(t testing.TB) {
			err := errors.Join(running.Process.Signal(syscall.SIGTERM), running.Wait())
			if err != nil {
				t.Errorf("handoffd: %v", err)
			}
		},
	}
}
