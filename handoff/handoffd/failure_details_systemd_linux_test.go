package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// statusOf returns what status --json says.
func statusOf(t *testing.T, m *systemdtest.Machine) control.Status {
	t.Helper()
	out, err := handoffd(t, m, "status", "--json")
	var s control.Status
	if err = notDown(err); err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// TestSaid: what a program says of itself is shown, and what concerns the service
// passed on, for as long as it does.
func TestSaid(t *testing.T) {
	const path = "/usr/local/bin/next"
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		program := func(says string) {
			t.Helper()
			m.WriteFile(path, []byte(python+says), 0o755)
		}
		program(`
s.send(b'READY=1\nX_HANDOFF_VERSION=4.5.6\nX_HANDOFF_CARRIED=7\nERRNO=5\nBUSERROR=org.example.Busy')
for i in range(1000): s.send(b'ERRNO=%d' % (i % 2))
s.send(b'ERRNO=28\nSTATUS=at rest')
time.sleep(1000)
`)
		begin(t, m, "[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run --accept-later -- "+path+"\n")
		errno := func(want string) {
			t.Helper()
			poll.Until(t, "ERRNO="+want, func() bool { return m.Property(service, "StatusErrno") == want })
		}
		errno("28")
		busError := func(want string) {
			t.Helper()
			if m.Version() < 257 {
				return // it takes no notice
			}
			if got := m.Property(service, "StatusBusError"); got != want {
				t.Errorf("systemd knows of the D-Bus error %q, want %q", got, want)
			}
		}
		busError("org.example.Busy")
		if g := statusOf(t, m).Generations[0]; g.Version != "4.5.6" || g.Carried != 7 {
			t.Errorf("the status is %+v", g)
		}
		out, err := handoffd(t, m, "status")
		if fields := strings.Join(strings.Fields(out), " "); err != nil || !strings.Contains(fields, " VERSION CARRIED ") || !strings.Contains(fields, " 4.5.6 7 ") {
			t.Errorf("status: %v:\n%s", err, out)
		}

		program("s.send(b'ERRNO=98\\nVARLINKERROR=org.example.Busy')\nsys.exit(3)\n")
		const reason = "exit status 3; it said ERRNO=98 (address already in use), VARLINKERROR=org.example.Busy"
		if out, err := m.TrySystemctl("reload", service); err == nil || !strings.Contains(m.Property(service, "StatusText"), reason) {
			t.Errorf("the reload leads to %v: %s: %q", err, out, m.Property(service, "StatusText"))
		}
		errno("28") // that of the generation that serves

		program("s.send(b'READY=1')\ntime.sleep(1000)\n")
		m.Systemctl("reload", service)
		errno("0")
		busError("")
		if g := statusOf(t, m).Generations; g[len(g)-1].Version != "" {
			t.Errorf("the status is %+v", g)
		}
	})
}
