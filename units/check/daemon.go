package check

import (
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/units"
)

// A daemon is what a service's ExecStart= tells handoffd.
type daemon struct {
	command
	at units.Option
}

// findDaemon returns what the service tells handoffd; nil where it runs none.
func findDaemon(service *Unit) *daemon {
	if service == nil {
		return nil
	}
	cmd, at := start(service)
	if cmd.program() != "handoffd" || len(cmd.args) < 2 || cmd.args[1] != "run" {
		return nil
	}
	for i, arg := range cmd.args {
		if arg == "--" { // the program's own flags
			cmd.args = cmd.args[:i]
			break
		}
	}
	return &daemon{cmd, at}
}

// plain reports whether the program knows no more of systemd than its sockets, which
// it may wait for in accept(2) itself: so do those that --compat is for.
func (d *daemon) plain() bool {
	if d == nil {
		return false
	}
	_, compat := d.flag("compat")
	ready, ok := d.flag("ready")
	return compat || ok && ready != "notify"
}

// flag returns the last value of -name or --name: what stands behind "=", or the
// next word.
func (c command) flag(name string) (value string, ok bool) {
	for i, arg := range c.args {
		dashes := len(arg) - len(strings.TrimLeft(arg, "-"))
		if dashes != 1 && dashes != 2 {
			continue
		}
		switch key, v, assigned := strings.Cut(arg[dashes:], "="); {
		case key != name:
		case assigned:
			value, ok = v, true
		case i+1 < len(c.args):
			value, ok = c.args[i+1], true
		default:
			value, ok = "", true
		}
	}
	return value, ok
}

// flags returns all values of a flag that may come more than once.
func (c command) flags(name string) (values []string) {
	for i := range c.args {
		one := command{args: c.args[i:min(i+2, len(c.args))]}
		if v, ok := (command{args: one.args[:1]}).flag(name); ok {
			if v == "" {
				v, _ = one.flag(name)
			}
			values = append(values, v)
		}
	}
	return values
}

// unset is the value of TimeoutStopSec= where DefaultTimeoutStopSec= is not set.
const unset = 90 * time.Second

// stopTimeout is how long systemd waits before it kills a service that stops.
func (u *Unit) stopTimeout() time.Duration {
	d := u.span(unset, "Service", "TimeoutStopSec", "TimeoutSec")
	if d == 0 {
		return forever
	}
	return d
}

// delegates reports whether the service has control groups of its own.
func delegates(service *Unit) bool {
	o, _ := service.last("Service", "Delegate")
	v, isBool := parseBool(o.Value)
	return v || !isBool && o.Value != ""
}

// cgroupsProtected reports whether the service cannot write to its control groups.
func cgroupsProtected(service *Unit) (units.Option, bool) {
	o, yes := service.yes("Service", "ProtectControlGroups")
	return o, yes || o.Value == "strict"
}
