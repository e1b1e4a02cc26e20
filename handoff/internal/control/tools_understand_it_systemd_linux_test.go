package control

import (
	"bufio"
	"context"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// firstVarlinkctl is the first systemd whose varlinkctl has the options used here.
// It came with 255, without --timeout=, --quiet, --graceful= and list-methods.
const firstVarlinkctl = 257

const (
	program = "/usr/bin/control.test"
	socket  = "/run/control/control"
	unit    = "[Service]\nExecStart=" + program + " " + socket + "\nEnvironment=" + helperVariable + "=server\n" +
		"RuntimeDirectory=control\nRuntimeDirectoryMode=0711\n"
)

// TestToolsUnderstandIt has a service with the socket, as root and as a user of its own, and
// asks it with our client, and with systemd's where there is one.
func TestToolsUnderstandIt(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: boots machines")
	}
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile(program, systemdtest.BuildTest(t), 0o755)
		for name, settings := range map[string]string{
			"root":    "",
			"dynamic": "DynamicUser=yes\nPrivateUsers=yes\nProtectSystem=strict\nRestrictAddressFamilies=AF_UNIX\n",
		} {
			t.Run(name, func(t *testing.T) {
				m.InstallUnit("control.service", unit+settings)
				m.Systemctl("start", "control.service")
				defer m.Systemctl("stop", "control.service")
				ask := func(helper string) (string, error) {
					cmd := m.Command(t.Context(), program, socket)
					cmd.Env = append(cmd.Env, helperVariable+"="+helper)
					out, err := cmd.CombinedOutput()
					return strings.TrimSpace(string(out)), err
				}
				poll.Until(t, "the service listens", func() bool {
					out, err := ask("status")
					return err == nil && out == "serving"
				})
				if out, err := ask("reload"); err != nil || out != "done" {
					t.Errorf("reload: %q, %v", out, err)
				}
				if mode := m.Output("stat", "-c", "%a %F", socket); mode != "600 socket" {
					t.Errorf("the socket is %q", mode)
				}
				if m.Version() >= firstVarlinkctl {
					askByVarlinkctl(t, m)
				}
			})
		}
		if m.Version() < firstVarlinkctl {
			t.Logf("systemd %d has no varlinkctl that will do: our own client was used alone", m.Version())
		}
	})
}

func askByVarlinkctl(t *testing.T, m *systemdtest.Machine) {
	run := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
		defer cancel()
		out, err := m.Command(ctx, "varlinkctl", args...).CombinedOutput()
		return string(out), err
	}
	call := func(method, parameters string, options ...string) []string {
		return append(options, "--json=short", "call", "unix:"+socket, Interface+"."+method, parameters)
	}
	// The errors of org.varlink.service have their names in 257 and an errno's words
	// in 262, so they are known by their parameters.
	for _, test := range []struct {
		args  []string
		fails bool
		want  []string
	}{
		{[]string{"info", socket}, false, []string{"Vendor: Holdfast", "Product: handoffd", "Version: 1.2.3", Interface, "org.varlink.service"}},
		{[]string{"list-interfaces", socket}, false, []string{Interface}},
		{[]string{"list-methods", socket}, false, []string{Interface + ".Reload", Interface + ".Monitor"}},
		{[]string{"introspect", socket, Interface}, false, []string{"method Reload", "# Start a successor", "error Undone"}},
		{call("Status", "{}"), false, []string{`"situation":"serving"`, `"cpuUSec":1500000`, `"started":"2026-11-22T01:02:03.000004Z"`}},
		{call("Status", ""), false, []string{`"situation":"serving"`}},
		{call("Reload", `{"hold":true}`), false, []string{`"outcome":"held"`, `"generation":8`}},
		{call("Commit", "{}"), false, []string{`"action":"commit"`, `"outcome":"done"`}},
		{call("Abort", "{}"), true, []string{Interface + ".NotHeld"}},
		{call("Reload", `{"program":"`+badProgram+`"}`), true, []string{Interface + ".Undone", "exit status 1", "cannot open the database"}},
		{call("Reload", `{"program":"`+badProgram+`"}`, "--graceful="+Interface+".Undone"), false, []string{"exit status 1"}},
		{call("Reload", `{"hodl":true}`), true, []string{`"parameter":"hodl"`}},
		{call("Reload", `{}`, "--quiet"), false, nil},
		{call("Reload", `{}`, "--oneway"), false, nil},
		{call("Reload", `{}`, "--timeout=infinity"), false, []string{`"outcome":"done"`}},
		{call("Reexec", `{}`), true, []string{Interface + ".Failed", "the newest handoffd cannot be run"}},
		{call("Monitor", `{}`), true, []string{"set the flag 'more'"}},
		{call("Fly", `{}`), true, []string{`"method":"` + Interface + `.Fly"`}},
		{call("Status", "{}", "--more"), false, []string{`"situation":"serving"`}},
	} {
		if test.args[len(test.args)-1] == "" {
			test.args = test.args[:len(test.args)-1]
		}
		out, err := run(test.args...)
		if (err != nil) != test.fails {
			t.Errorf("varlinkctl %q: %v\n%s", test.args, err, out)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("varlinkctl %q: no %q in\n%s", test.args, want, out)
			}
		}
	}
	watchByVarlinkctl(t, m, call)

	valid := "/run/control.varlink"
	m.WriteFile(valid, []byte(description), 0o644)
	if out, err := run("validate-idl", valid); err != nil {
		t.Errorf("the description is not valid: %v\n%s", err, out)
	}
	// Who may not ask hears that: the service's folder can be entered by all.
	m.Output("chmod", "666", socket)
	out, err := m.Command(t.Context(), "setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "varlinkctl"}, call("Status", "{}")...)...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "permission denied: this is for root") {
		t.Errorf("another user: %v\n%s", err, out)
	}
}

// watchByVarlinkctl sees a state and the change after it.
func watchByVarlinkctl(t *testing.T, m *systemdtest.Machine, call func(method, parameters string, options ...string) []string) {
	ctx, cancel := context.WithTimeout(t.Context(), poll.Patience)
	defer cancel()
	cmd := m.Command(ctx, "varlinkctl", call("Monitor", "{}", "--more", "--timeout=infinity")...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	states := bufio.NewScanner(out)
	for _, program := range []string{"", newProgram} {
		if program != "" {
			m.Output(append([]string{"varlinkctl"}, call("Reload", `{"hold":true,"program":"`+program+`"}`)...)...)
		}
		if !states.Scan() || !strings.Contains(states.Text(), `"situation":"serving"`) {
			t.Errorf("Monitor says %q (%v)", states.Text(), states.Err())
		}
	}
	if !strings.Contains(states.Text(), `"outcome":"held"`) {
		t.Errorf("Monitor does not tell the change: %q", states.Text())
	}
	cancel()
	_ = cmd.Wait() // killed
}
