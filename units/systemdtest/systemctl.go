package systemdtest

import (
	"fmt"
	"strings"
)

// Systemctl runs systemctl inside the machine, after a daemon-reload if units
// were installed since the last one, and returns what it prints. If it fails the
// test fails, with the status and the journal of the units it was about.
func (m *Machine) Systemctl(args ...string) string {
	m.t.Helper()
	out, err := m.TrySystemctl(args...)
	if err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	return out
}

// TrySystemctl is Systemctl for a command that may fail. What it printed is
// returned with the error, in which errors.As finds an *exec.ExitError when
// systemctl itself failed.
func (m *Machine) TrySystemctl(args ...string) (string, error) {
	if err := m.reload(); err != nil {
		return "", err
	}
	out, err := m.runTimed("systemctl", args...)
	if err != nil {
		return out, fmt.Errorf("%w\n%s", err, m.describe(args))
	}
	return out, nil
}

// DaemonReload makes systemd read its units, whether or not any were installed.
func (m *Machine) DaemonReload() {
	m.t.Helper()
	m.changed.Store(true)
	if err := m.reload(); err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
}

// reload makes systemd read the units that were installed since it last did.
func (m *Machine) reload() error {
	if !m.changed.Swap(false) {
		return nil
	}
	_, err := m.runTimed("systemctl", "daemon-reload")
	if err != nil {
		m.changed.Store(true)
	}
	return err
}

// describe tells the state of the units that systemctl's arguments name.
func (m *Machine) describe(args []string) string {
	var b strings.Builder
	for i, unit := range args {
		if i == 0 || strings.HasPrefix(unit, "-") || strings.Contains(unit, "=") {
			continue // a verb, a flag, a setting
		}
		// status exits with 3 for a unit that is not active.
		status, _ := m.runTimed("systemctl", "status", "--no-pager", "--full", "-n", "0", "--", unit)
		journal, _ := m.runTimed("journalctl", "--no-pager", "-q", "-o", "short-monotonic", "-n", "100", "-u", unit)
		fmt.Fprintf(&b, "%s\n%s\n", status, journal)
	}
	return b.String()
}

// Property returns a property of a unit as `systemctl show` prints it, such as
// "active" for ActiveState. A property that there is not fails the test; that of
// a unit that there is not has its default.
func (m *Machine) Property(unit, property string) string {
	m.t.Helper()
	out, err := m.TrySystemctl("show", "--all", "--property="+property, "--", unit)
	if err != nil {
		m.t.Fatalf("systemdtest: %v", err)
	}
	value, ok := strings.CutPrefix(out, property+"=")
	if !ok {
		m.t.Fatalf("systemdtest: systemd %d gives unit %s no property %q", m.version, unit, property)
	}
	return value
}

// Journal returns the messages that journalctl finds with args, such as "-u",
// "app.service", one a line and without time stamps; an -o among args prints
// them otherwise. What was logged before the call is there.
func (m *Machine) Journal(args ...string) string {
	m.t.Helper()
	m.Output("journalctl", "--sync")
	return m.Output(append([]string{"journalctl", "--no-pager", "-q", "-o", "cat"}, args...)...)
}
