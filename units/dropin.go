package units

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// DropInFile is the name of a drop-in's file, in the folder of the unit that it is for.
const DropInFile = "handoffd.conf"

// dropIn puts handoffd around a service that is there.
func (d Description) dropIn() *Unit {
	b := newBuilder(d.serviceName())
	b.unit.Comment = d.head()
	b.in("Unit")
	sockets := strings.Join(d.socketFiles(), " ")
	b.add("Where the unit does not ask for its socket, and is started alone, it has none, and\nhandoffd refuses to start.", "Wants", sockets)
	b.add("", "After", sockets)
	b.add(whyLimit, "StartLimitIntervalSec", "0")
	b.in("Service")
	d.handed(b)
	d.ownGroups(b, "no")
	d.reset(b)
	return b.unit
}

// head says what the drop-in is, how it is adopted, and how to leave it again.
func (d Description) head() string {
	service := d.Name
	if d.template() {
		service += "INSTANCE"
	}
	text := "Puts handoffd around " + d.Name + ".service, whose file stays as it is. The program must\n" +
		"take the sockets of " + strings.ReplaceAll(strings.Join(d.socketFiles(), " and "), "%i", "INSTANCE") + " (sd_listen_fds(3)), stay in the\n" +
		"foreground, and bear that two of it run at once for a while.\n\n"
	if d.Around == nil {
		text += "Written without sight of the unit: where it is installed, \"handoffd unit\" resets what\n" +
			"else in it does not go with handoffd, and says what was there.\n\n"
	}
	if len(d.Sockets) > 0 {
		return text +
			"To adopt it on a service that runs: systemctl daemon-reload, then systemctl restart\n" +
			service + ". The program has bound its addresses itself until now, so this once clients\n" +
			"are refused until its socket is there. Then systemctl enable the socket.\n" +
			"To leave it: systemctl stop the socket and the service, remove these files,\n" +
			"systemctl daemon-reload, systemctl start " + service + "."
	}
	return text +
		"To adopt it on a service that runs: systemctl daemon-reload, then systemctl restart\n" +
		service + ". Clients wait in the queue of the socket.\n" +
		"To leave it: remove this file, and the same two commands again."
}

// whyCommand is above the command.
func (d Description) whyCommand() string {
	why := "The command of the unit itself, put behind the two dashes."
	if was := d.around("Type"); was == "forking" || was == "oneshot" || was == "dbus" {
		why += " The unit has Type=" + was + ":\nthe command here must keep the program in the foreground."
	}
	return why
}

// whyMode is above KillMode=.
func (d Description) whyMode() string {
	if d.around("KillMode") == "process" {
		return whyMixed + "\nThe unit has KillMode=process: its children outlive its main process. Here they\nlive until the drain timeout (--drain-timeout) of their generation."
	}
	return whyMixed
}

// restarts keeps a service up that falls over, as the unit has it where that is more.
func (d Description) restarts(b *builder) {
	if d.around("Restart") != "always" {
		b.add("", "Restart", "on-failure")
	}
	b.add("", "RestartSec", "1")
}

// A fight is a setting of a unit that does not go with handoffd.
type fight struct {
	option string
	why    string
	// fights reports whether the values that the unit has do; nil: any but an empty one.
	fights func(values []string) bool
	// unknown has it reset also where nobody knows what the unit says.
	unknown bool
	// add is what the drop-in says of the option instead; "" empties it.
	add func(d Description) string
}

// fights are in the order in which they stand in the drop-in.
var fights = []fight{
	{option: "PIDFile", unknown: true, why: "systemd reads it when the main process ends, takes a generation for the service,\nand kills handoffd later."},
	{option: "ExecStop", unknown: true, why: "It ends the program behind handoffd's back. handoffd ends its generations itself,\nwith --stop-signal."},
	{option: "ExecStopPost", fights: anySignals, why: "It signals what may be the next generation."},
	{option: "StandardInput", fights: anySocket, why: "With a socket as standard input the service gets none of the others.", add: func(Description) string { return "null" }},
	{option: "NoExecPaths", why: "The unit lets only some programs run, and handoffd is none of them.", add: handoffdPath},
	{option: "RootDirectory", fights: elsewhere, why: "handoffd is outside of the folder that is the service's root.", add: handoffdPath},
	{option: "TemporaryFileSystem", why: "An empty folder may hide handoffd.", add: handoffdPath},
	{option: "RestrictAddressFamilies", fights: withoutUnix, why: "handoffd speaks with systemd, with generations and with \"handoffd reload\" over\nUnix sockets.", add: func(Description) string { return "AF_UNIX" }},
}

// instead is what another option than the one that fights has to say.
var instead = map[string]string{"NoExecPaths": "ExecPaths", "RootDirectory": "BindReadOnlyPaths", "TemporaryFileSystem": "BindReadOnlyPaths"}

func handoffdPath(d Description) string { return specifiers(d.Handoffd) }

// reset takes from the unit what fights with handoffd, and says what was there.
func (d Description) reset(b *builder) {
	for _, f := range fights {
		values := d.valuesAround(f.option)
		known := d.Around != nil
		switch {
		case !known && !f.unknown:
			continue
		case known && len(values) == 0:
			continue
		case known && f.fights != nil && !f.fights(values):
			continue
		}
		name, value, why := f.option, "", "Reset: "+f.why
		if f.add != nil {
			value = f.add(d)
		}
		if other, ok := instead[f.option]; ok {
			if slices.Contains(d.valuesAround(other), value) || slices.ContainsFunc(b.unit.Options, func(o Option) bool { return o.Name == other && o.Value == value }) {
				continue
			}
			name, why = other, f.why
		}
		if known {
			why += "\nThe unit has " + f.option + "=" + strings.Join(values, ", ") + "."
		}
		b.add(why, name, value)
	}
}

// valuesAround are the values of an option of the service that the drop-in is for. An
// empty one forgets those before it.
func (d Description) valuesAround(name string) (values []string) {
	for _, o := range d.Around {
		switch {
		case o.Section != "Service" || o.Name != name:
		case o.Value == "":
			values = nil
		default:
			values = append(values, o.Value)
		}
	}
	return values
}

// around is the value that holds, of an option that has one.
func (d Description) around(name string) string {
	values := d.valuesAround(name)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// hides are the folders that a setting of the unit hides from it.
var hides = []struct {
	option string
	shows  []string // the values with which they are seen
	under  []string
}{
	{"ProtectHome", []string{"no", "false", "off", "0", "read-only"}, []string{"/home", "/root", "/run/user"}},
	{"PrivateTmp", []string{"no", "false", "off", "0"}, []string{"/tmp", "/var/tmp"}},
}

// checkAround says where the unit would hide handoffd, which no drop-in can mend.
func (d Description) checkAround() error {
	if d.Kind != KindDropIn {
		if d.Around != nil {
			return fmt.Errorf("what a unit around says is for the kind %s, and the kind is %s", KindDropIn, d.Kind)
		}
		return nil
	}
	var errs []error
	for _, h := range hides {
		value := d.around(h.option)
		if value == "" || slices.Contains(h.shows, value) {
			continue
		}
		for _, folder := range h.under {
			if within(d.Handoffd, folder) {
				errs = append(errs, fmt.Errorf("handoffd %q: the unit has %s=%s, which hides it: put it into /usr/local/bin", d.Handoffd, h.option, value))
			}
		}
	}
	for _, value := range d.valuesAround("InaccessiblePaths") {
		for folder := range strings.FieldsSeq(value) {
			if folder = strings.TrimLeft(folder, "-+"); within(d.Handoffd, folder) {
				errs = append(errs, fmt.Errorf("handoffd %q: the unit has InaccessiblePaths=%s, which hides it: put it elsewhere", d.Handoffd, folder))
			}
		}
	}
	return errors.Join(errs...)
}

// within reports whether a file is in the folder, or below it.
func within(file, folder string) bool {
	return strings.HasPrefix(path.Clean(file), strings.TrimSuffix(path.Clean(folder), "/")+"/")
}

// template reports whether the drop-in is for all instances of a template.
func (d Description) template() bool {
	return d.Kind == KindDropIn && strings.HasSuffix(d.Name, "@")
}

// plainName is the name without the @ of an instance or of a template, which only a
// drop-in may be for.
func (d Description) plainName() string {
	before, after, ok := strings.Cut(d.Name, "@")
	if d.Kind != KindDropIn || !ok || before == "" {
		return d.Name
	}
	return before + after
}

func anySocket(values []string) bool { return values[len(values)-1] == "socket" }

func elsewhere(values []string) bool { return values[len(values)-1] != "/" }

// anySignals reports whether one of the commands is known to send signals.
func anySignals(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool {
		return slices.ContainsFunc(strings.Fields(v), func(word string) bool {
			switch path.Base(strings.TrimLeft(word, "@-:+!|\"'")) {
			case "kill", "pkill", "killall", "start-stop-daemon", "fuser":
				return true
			}
			return false
		})
	})
}

// withoutUnix reports whether address families are listed, and AF_UNIX is not one.
func withoutUnix(values []string) bool {
	if strings.HasPrefix(values[0], "~") {
		return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(strings.Fields(strings.TrimPrefix(v, "~")), "AF_UNIX") })
	}
	return !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(strings.Fields(v), "AF_UNIX") })
}
