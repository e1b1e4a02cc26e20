package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"github.com/holdfast-go/holdfast/units/check"
)

// managerTimeout bounds all that a manager is asked.
const managerTimeout = 30 * time.Second

// A manager is a running systemd, asked over D-Bus. It knows which files it has read
// (org.freedesktop.systemd1(5)): those of generators and of systemctl
// set-property too.
type manager struct {
	*check.Index // the folders in which it looks for units
	ctx          context.Context
	cancel       context.CancelFunc
	conn         *dbus.Conn
	version      int
}

var _ check.Source = (*manager)(nil)

// dialManager connects to the system's manager, or to that of the user. Close
// closes the connection.
func dialManager(ctx context.Context, user bool) (*manager, error) {
	dial := dbus.NewWithContext
	if user {
		dial = dbus.NewUserConnectionContext
	}
	ctx, cancel := context.WithTimeout(ctx, managerTimeout)
	conn, err := dial(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	m := &manager{ctx: ctx, cancel: cancel, conn: conn}
	folders := check.Folders{User: user, Complete: true}
	var version string
	if err := errors.Join(m.property("Version", &version), m.property("UnitPath", &folders.Dirs)); err != nil {
		m.Close()
		return nil, err
	}
	m.Index = folders.Index()
	digits := strings.TrimLeft(version, "v")
	if end := strings.IndexFunc(digits, func(c rune) bool { return c < '0' || c > '9' }); end >= 0 {
		digits = digits[:end]
	}
	m.version, _ = strconv.Atoi(digits)
	return m, nil
}

func (m *manager) Close() {
	m.conn.Close()
	m.cancel()
}

// property reads a property of the manager. go-systemd hands it over as text, which
// for strings and lists of them is JSON.
func (m *manager) property(name string, v any) error {
	text, err := m.conn.GetManagerProperty(name)
	if err == nil {
		err = json.Unmarshal([]byte(text), v)
	}
	if err != nil {
		return fmt.Errorf("the manager's %s: %w", name, err)
	}
	return nil
}

// Find implements check.Source. Templates are not loaded before they have an
// instance, so they are looked for in the folders.
func (m *manager) Find(name string) (check.Files, error) {
	if strings.Contains(name, "@.") {
		return m.Index.Find(name)
	}
	p, err := m.conn.GetUnitPropertiesContext(m.ctx, name)
	if err != nil {
		return check.Files{}, fmt.Errorf("unit %s: %w", name, err)
	}
	f := check.Files{Name: name, User: m.User}
	if id, ok := p["Id"].(string); ok {
		f.Name = id
	}
	f.Fragment, _ = p["FragmentPath"].(string)
	f.DropIns, _ = p["DropInPaths"].([]string)
	state, _ := p["LoadState"].(string)
	f.Masked = state == "masked"
	if state == "not-found" {
		return check.Files{}, fmt.Errorf("unit %s: %w", name, fs.ErrNotExist)
	}
	return f, nil
}

// Sockets implements check.Source.
func (m *manager) Sockets(service string) ([]string, error) {
	names, err := m.Index.Sockets(service)
	return append(names, m.related(service, "TriggeredBy", ".socket")...), err
}

// Services implements check.Source.
func (m *manager) Services(socket string) ([]string, error) {
	names, err := m.Index.Services(socket)
	return append(names, m.related(socket, "Triggers", ".service")...), err
}

// related are the units of a kind that a unit depends on, as far as they are loaded.
// Those of connections that a socket has accepted are not meant.
func (m *manager) related(unit, property, suffix string) []string {
	p, err := m.conn.GetUnitPropertyContext(m.ctx, unit, property)
	if err != nil {
		return nil
	}
	names, _ := p.Value.Value().([]string)
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasSuffix(name, suffix) || strings.Contains(name, "@")
	})
}

// StopSockets stops the socket units that activate the service of the process pid.
// The service runs on, or they would be started again: systemd.socket(5).
func StopSockets(ctx context.Context, pid int) error {
	m, err := dialManager(ctx, os.Getuid() != 0)
	if err != nil {
		return fmt.Errorf("stop the sockets: %w", err)
	}
	defer m.Close()
	name, err := m.conn.GetUnitNameByPID(ctx, uint32(pid))
	if err != nil {
		return fmt.Errorf("stop the sockets: unit of process %d: %w", pid, err)
	}
	by, err := m.conn.GetUnitPropertyContext(ctx, name, "TriggeredBy")
	if err != nil {
		return fmt.Errorf("stop the sockets of %s: %w", name, err)
	}
	units, _ := by.Value.Value().([]string)
	units = slices.DeleteFunc(units, func(unit string) bool { return !strings.HasSuffix(unit, ".socket") })
	if len(units) == 0 {
		return fmt.Errorf("stop the sockets of %s: no socket unit activates it", name)
	}
	for _, unit := range units {
		done := make(chan string, 1)
		if _, err := m.conn.StopUnitContext(ctx, unit, "replace", done); err != nil {
			return fmt.Errorf("stop %s: %w", unit, err)
		}
		select {
		case result := <-done:
			if result != "done" {
				return fmt.Errorf("stop %s: the job is %s", unit, result)
			}
		case <-ctx.Done():
			return fmt.Errorf("stop %s: %w", unit, context.Cause(ctx))
		}
	}
	return nil
}
