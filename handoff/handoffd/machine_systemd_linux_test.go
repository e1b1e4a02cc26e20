package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// httpProgram answers GET with its version, and POST with the body, on package
// handoff.
const httpProgram = "github.com/holdfast-go/holdfast/examples/http"

// plainGo answers the same, without package handoff.
const plainGo = "./testdata/plaingo"

const (
	socket  = "holdfast-app.socket"
	service = "holdfast-app.service"
	address = "127.0.0.1:8080"
)

// onEachSystemd runs f with the pair of units installed, and the programs.
func onEachSystemd(t *testing.T, f func(t *testing.T, m *systemdtest.Machine)) {
	onSystemds(t, systemdtest.Options{}, f)
}

// onTwoSystemds is onEachSystemd for what takes long, or lies between handoffd and its
// callers, the program or the kernel: "all" is Debian 12's and the newest to it, and
// HOLDFAST_SYSTEMD=247,252,257,262 is all of them.
func onTwoSystemds(t *testing.T, f func(t *testing.T, m *systemdtest.Machine)) {
	onSystemds(t, systemdtest.Options{All: []string{"252", "262"}}, f)
}

func onSystemds(t *testing.T, o systemdtest.Options, f func(t *testing.T, m *systemdtest.Machine)) {
	systemdtest.Run(t, o, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		f(t, m)
	})
}

// install puts the pair of units into m, and the programs.
func install(t testing.TB, m *systemdtest.Machine) {
	t.Helper()
	m.InstallFile("/usr/local/bin/handoffd", systemdtest.Build(t, "."), 0o755)
	m.InstallFile("/usr/local/bin/holdfast-http", systemdtest.Build(t, httpProgram), 0o755)
	for _, name := range []string{socket, service} {
		text, err := units.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		m.InstallUnit(name, text)
	}
}

// begin starts the service, with a drop-in.
func begin(t testing.TB, m *systemdtest.Machine, dropIn string) {
	t.Helper()
	m.InstallUnit(service+".d/test.conf", dropIn)
	m.Systemctl("start", socket, service)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the service says:\n%s", m.Journal("-u", service))
		}
		m.Systemctl("stop", socket, service)
		m.TrySystemctl("reset-failed", service)
	})
}

// notDown is the error of status, where that is not that nothing serves at the moment.
func notDown(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitDown {
		return nil
	}
	return err
}

// handoffd runs a verb inside.
func handoffd(t testing.TB, m *systemdtest.Machine, args ...string) (string, error) {
	t.Helper()
	return verbOf(t, m, "/usr/local/bin/handoffd", args...)
}

// verbOf runs a verb of the handoffd at a path.
func verbOf(t testing.TB, m *systemdtest.Machine, path string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	cmd := m.Command(ctx, path, args...)
	cmd.Env = append(cmd.Env, "RUNTIME_DIRECTORY=/run/holdfast-app")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// underLoad has clients send requests while f runs. None may fail.
func underLoad(t testing.TB, m *systemdtest.Machine, o loadtest.Options, f func(load *loadtest.Load)) *loadtest.Result {
	t.Helper()
	result := counted(t, m, o, f)
	if err := result.Err(); err != nil {
		t.Error(err)
	}
	return result
}

// counted has clients send requests while f runs, and returns what became of them.
func counted(t testing.TB, m *systemdtest.Machine, o loadtest.Options, f func(load *loadtest.Load)) *loadtest.Result {
	t.Helper()
	o.URL, o.Address, o.Dial = "http://localhost/", address, m.Dial
	o.Duration, o.Timeout = 10*time.Minute, time.Minute
	load, err := loadtest.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		load.Stop()
		load.Wait()
	}()
	f(load)
	load.Stop()
	result, err := load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// progress waits until so many more requests were answered.
func progress(t testing.TB, load *loadtest.Load, requests int64) {
	t.Helper()
	want := load.Counts().OK + requests
	poll.Until(t, fmt.Sprintf("%d more answers", requests), func() bool { return load.Counts().OK >= want })
}

// generations returns how many cgroups of generations there are.
func generations(t testing.TB, m *systemdtest.Machine) int {
	t.Helper()
	entries, err := os.ReadDir(m.Path("/sys/fs/cgroup" + m.Property(service, "ControlGroup")))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "gen-") {
			n++
		}
	}
	return n
}
