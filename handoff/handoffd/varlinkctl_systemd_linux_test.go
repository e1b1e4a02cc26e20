package main

import (
	"bufio"
	"context"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// firstVarlinkctl is the first systemd whose varlinkctl has the options used here.
const firstVarlinkctl = 257

// TestVarlinkctl: systemd's own client does for handoffd's.
func TestVarlinkctl(t *testing.T) {
	const path = "/run/holdfast-app/control"
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		if m.Version() < firstVarlinkctl {
			t.Skipf("systemd %d has no varlinkctl that will do", m.Version())
		}
		begin(t, m, "")
		call := func(method, parameters string, options ...string) []string {
			return append(append([]string{"varlinkctl", "--json=short"}, options...), "call", "unix:"+path, control.Interface+"."+method, parameters)
		}
		as := func(user string, args []string) (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
			defer cancel()
			args = append([]string{"--reuid=" + user, "--regid=" + user, "--clear-groups"}, args...)
			out, err := m.Command(ctx, "setpriv", args...).CombinedOutput()
			return string(out), err
		}
		owner := m.Output("stat", "-c", "%u", path) // of DynamicUser=
		for _, c := range []struct {
			user string
			args []string
			want []string // nil: it fails
		}{
			{"0", []string{"varlinkctl", "introspect", path, control.Interface}, []string{"method Reload", "method Monitor", "error Undone"}},
			{"0", []string{"varlinkctl", "info", path}, []string{"Product: handoffd", control.Interface}},
			{"0", call("Status", "{}"), []string{`"situation":"serving"`, `"number":1`, `"program":"/usr/local/bin/holdfast-http"`}},
			{"0", call("Reload", `{"dryRun":true}`), []string{`"outcome":"done"`, `"generation":2`}},
			{owner, call("Status", "{}"), []string{`"situation":"serving"`, `"outcome":"done"`}},
			{owner, call("Reload", "{}"), []string{`"outcome":"done"`, `"generation":3`}},
			{"0", call("Reload", `{"program":"/usr/bin/false"}`), nil},
			{"65534", call("Status", "{}"), nil},
			{"65534", call("Reload", "{}"), nil},
		} {
			out, err := as(c.user, c.args)
			if (err != nil) != (c.want == nil) {
				t.Errorf("user %s: %q: %v: %s", c.user, c.args, err, out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("user %s: %q does not say %q: %s", c.user, c.args, want, out)
				}
			}
		}

		// Monitor tells of a reload, from one serving generation to the next.
		cmd := m.Command(t.Context(), "timeout", append([]string{"120"}, call("Monitor", "{}", "--more", "--timeout=infinity")...)...)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		states := bufio.NewScanner(out)
		await := func(want string) {
			t.Helper()
			for states.Scan() {
				if strings.Contains(states.Text(), want) {
					return
				}
			}
			t.Fatalf("Monitor ends without saying %q: %v", want, states.Err())
		}
		await(`"number":3`)
		m.Systemctl("reload", service)
		await(`"generation":5,`)
		m.Systemctl("stop", socket, service)
		for states.Scan() { // it ends with the service
		}
		_ = cmd.Wait() // its exit status is varlinkctl's business
	})
}
