package exampletest

import (
	"encoding/json"
	"errors"
	"os/exec"
	"strconv"
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const handoffd = "/usr/local/bin/handoffd"

// InstallHandoffd puts handoffd into m, for units that run it.
func InstallHandoffd(t testing.TB, m *systemdtest.Machine) {
	t.Helper()
	m.InstallFile(handoffd, systemdtest.Build(t, "github.com/holdfast-go/holdfast/handoff/handoffd"), 0o755)
}

// A Way is one in which the program of a service is replaced under its clients.
type Way struct {
	Name string        // of the verb of systemctl: "restart" or "reload"
	PID  func() string // of the process that serves; "0" if none does

	// Replace does it once, and returns when the next process serves. If none
	// does, or the same, it fails the test.
	Replace func()
}

// EachWay runs f as a subtest for each Way: systemd restarts the service, and
// handoffd, put in front of the program by a drop-in, reloads it. Units that
// Install has put into m are what is replaced: NAME.socket listens when f begins,
// and neither runs after it.
func EachWay(t *testing.T, m *systemdtest.Machine, name string, f func(t *testing.T, w Way)) {
	service := name + ".service"
	InstallHandoffd(t, m)
	for _, w := range []struct {
		name, dropIn string
		pid          func(testing.TB, *systemdtest.Machine, string) string
	}{
		{"restart", "", mainPID},
		{"reload", underHandoffd(name), Serving},
	} {
		t.Run(w.name, func(t *testing.T) {
			m.InstallUnit(service+".d/way.conf", w.dropIn)
			m.Systemctl("start", name+".socket")
			defer m.Systemctl("stop", name+".socket", service)
			main := func() string { return mainPID(t, m, service) }
			pid := func() string { return w.pid(t, m, service) }
			f(t, Way{Name: w.name, PID: pid, Replace: func() {
				t.Helper()
				before := main()
				replace(t, m, w.name, service, pid)
				if after := main(); w.name == "reload" && after != before {
					t.Fatalf("reload of %s: the main PID was %s and is %s", service, before, after)
				}
			}})
		})
	}
}

// underHandoffd is the drop-in by which the service of an example, whose program
// has the same name, runs under handoffd: what `systemctl edit` would write.
func underHandoffd(name string) string {
	return `[Service]
ExecStart=
ExecStart=` + handoffd + ` run -- /usr/local/bin/` + name + `
ExecReload=` + handoffd + ` reload
RuntimeDirectory=` + name + `
Delegate=yes
ProtectControlGroups=no
FileDescriptorStoreMax=65
TimeoutStopSec=90
`
}

// replace runs a verb of systemctl, and fails t if not another process serves
// afterwards.
func replace(t testing.TB, m *systemdtest.Machine, verb, service string, pid func() string) {
	t.Helper()
	before := pid()
	m.Systemctl(verb, service)
	if after := pid(); after == before || after == "0" {
		t.Fatalf("%s of %s: process %s served and %s does, want a new one", verb, service, before, after)
	}
}

// Reload reloads a service under handoffd, and fails t if not another process serves
// afterwards.
func Reload(t testing.TB, m *systemdtest.Machine, service string) {
	t.Helper()
	replace(t, m, "reload", service, func() string { return Serving(t, m, service) })
}

func mainPID(_ testing.TB, m *systemdtest.Machine, service string) string {
	return m.Property(service, "MainPID")
}

// Serving asks handoffd which generation of a service serves, and returns its PID,
// "0" if none does.
func Serving(t testing.TB, m *systemdtest.Machine, service string) string {
	t.Helper()
	const down = 3 // the exit status while nothing serves
	cmd := m.Command(t.Context(), handoffd, "status", "--json", "--control", "/run/"+m.Property(service, "RuntimeDirectory")+"/control")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !(ok && exit.ExitCode() == down) {
		t.Fatalf("handoffd status: %v: %s", err, out)
	}
	var status struct {
		Generations []struct {
			State string
			PID   int
		}
	}
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatalf("handoffd status: %v: %s", err, out)
	}
	for _, g := range status.Generations {
		if g.State == "serving" {
			return strconv.Itoa(g.PID)
		}
	}
	return "0"
}
