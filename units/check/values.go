package check

import (
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

// newValues are the values that came later than their options, by option.
var newValues = map[string]map[string]int{
	"Type":                        {"notify-reload": 253},
	"ProtectControlGroups":        {"private": 257, "strict": 257},
	"PrivateTmp":                  {"disconnected": 257},
	"PrivateUsers":                {"self": 257, "identity": 257, "full": 258, "managed": 260},
	"FileDescriptorStorePreserve": {"on-success": 261},
	"RuntimeDirectoryPreserve":    {"on-success": 261},
	"FailureAction":               newActions, "SuccessAction": newActions, "StartLimitAction": newActions, "JobTimeoutAction": newActions,
	"ProtectHostname": {"private": 258}, "CPUWeight": {"idle": 252}, "StartupCPUWeight": {"idle": 252}, "RestrictAddressFamilies": {"none": 249}, "RestrictNamespaces": {"time": 252},
}

var newActions = map[string]int{
	"soft-reboot": 254, "soft-reboot-force": 254, "kexec": 254, "kexec-force": 254, "halt": 254, "halt-force": 254, "halt-immediate": 254,
}

// reads is what systemd makes of the value of an option. What it ignores is as if it
// were not there; in most options so is an empty value: it takes nothing back.
func reads(o units.Option) reading { return readAs(knownOptions()[o.Name].kind, o.Value) }

// readable reports whether a value is not ignored as a whole.
func readable(o units.Option) bool { return reads(o) != ignored }

func oneOf(all ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(all, s) }
}

// booleanOr takes booleans and these.
func booleanOr(all ...string) func(string) bool {
	return func(s string) bool { return boolean(s) || slices.Contains(all, s) }
}

func timeSpan(s string) bool { _, ok := parseSpan(s); return ok }
func boolean(s string) bool  { _, ok := parseBool(s); return ok }

// fatal reports whether systemd gives up on a file at the value of o: of a few options
// it ignores none. What has a specifier in it is known only later.
func fatal(o units.Option) bool {
	v := o.Value
	switch {
	case !slices.Contains(knownOptions()[o.Name].sections, o.Section):
		return false
	case o.Name == "DynamicUser":
		return !boolean(v)
	case strings.Contains(v, "%"):
		return false
	}
	switch o.Name {
	case "WorkingDirectory":
		return v != "" && v != "~" && !strings.HasPrefix(v, "-") && !normalPath(v)
	case "RootDirectory", "RootImage", "RootVerity", "RootMStack":
		return v != "" && !normalPath(v)
	case "User", "Group", "SocketUser", "SocketGroup":
		return !account(v)
	case "PIDFile":
		return !relativePath(v)
	case "SupplementaryGroups":
		return slices.ContainsFunc(words(v), func(group string) bool { return !account(group) })
	}
	if !strings.HasPrefix(o.Name, "Exec") {
		return false
	}
	return commandsOf(v, command.wrong, false)
}

// commandsOf reports whether f holds of one of the command lines of a value that are
// optional, or of one of those that are not; a quote that is not closed counts as well.
func commandsOf(value string, f func(command) bool, optional bool) bool {
	_, closed := splitWords(value)
	all := parseCommands(value)
	for i, c := range all {
		if c.optional() == optional && (f(c) || !closed && i == len(all)-1) {
			return true
		}
	}
	return false
}

// wrong reports whether systemd takes the program of a command line for none.
func (c command) wrong() bool {
	program := c.args[0]
	return program == "" || unsafe(program) || program == "." || program == ".." || strings.Contains(program, "/") && !strings.HasPrefix(program, "/")
}

// commandLine takes command lines. What is wrong with an optional one systemd ignores.
func commandLine(s string) reading {
	if s != "-" && commandsOf(s, command.wrong, true) {
		return ignored
	}
	return taken
}

// optional reports whether a dash stands before a command line: systemd ignores what
// is wrong with it.
func (c command) optional() bool { return strings.Contains(c.prefix, "-") }

// normalPath reports whether systemd takes s for a path: an absolute one, without ..
func normalPath(s string) bool {
	return strings.HasPrefix(s, "/") && !slices.Contains(strings.Split(s, "/"), "..")
}

// account reports whether systemd takes s for the name of a user or a group, or for its
// number.
func account(s string) bool {
	if strings.Trim(s, "0123456789") == "" && s != "" {
		n, ok := unsignedOf(s, 32)
		return ok && (s == "0" || s[0] != '0') && n != 65535 && n != 1<<32-1 // which stand for no user
	}
	return !strings.ContainsAny(s, ":/") && !negative(s) && s != "." && s != ".."
}

var negative = matches("-[0-9]+")

// unsafe reports whether a program's path holds an escape that is none.
func unsafe(program string) bool { return strings.Contains(escapes.ReplaceAllString(program, ""), `\`) }
