package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Names of other units, their order, and what the command line says of all this.
var nameRules = []Rule{
	{
		ID: "dependency-missing", Severity: Loss, Man: "systemd.unit(5)",
		Doc:    "A service that Requires=, BindsTo= or Requisite= a unit that there is not cannot be started: the first client fails its socket, with the result resources. Looked for where all units of a manager are known.",
		Reason: "the first client shuts the socket, and every later one is refused",
		check:  (*checker).dependencyMissing,
	},
	{
		ID: "ordering-cycle", Severity: Unwise, Man: "systemd.unit(5)",
		Doc:    "A socket is bound early: sockets.target, and with it basic.target, come after it, and ordinary services after those. Where the socket is After= such a service, or after its own service, the circle is closed. At boot systemd opens it by leaving one of the units out, and that may be the socket. DefaultDependencies=no in the socket opens it too.",
		Reason: "which unit is left out at such a boot systemd chooses: where it is the socket, nobody listens",
		check:  (*checker).orderingCycle,
	},
	{
		ID: "socket-user-meant", Severity: Ineffective, Man: "systemd.socket(5)",
		Doc:    "User= and Group= of a socket unit are those of its ExecStartPre= and the like. The owner of a path is SocketUser= and SocketGroup=.",
		Reason: "the line does nothing",
		check:  (*checker).socketUserMeant,
	},
	{
		ID: "exec-comment", Severity: Ineffective, Man: "systemd.syntax(7)",
		Doc:    "A comment is a line of its own. Behind a command its words are arguments of the program.",
		Reason: "the comment is none: the program gets its words",
		check:  (*checker).execComment,
	},
	{
		ID: "daemonises", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "A program that goes into the background ends its main process. With any other Type= than forking systemd takes the service for ended then, and kills what is in the background.",
		Reason: "the program is killed as soon as it has started, so no client is answered",
		check:  (*checker).daemonises,
	},
	{
		ID: "ipv6-only", Severity: Unwise, Man: "systemd.socket(5)",
		Doc:    "With BindIPv6Only=ipv6-only a port alone, or [::], is for IPv6: clients that come over IPv4 are refused.",
		Reason: "that may be meant",
		check:  (*checker).ipv6Only,
	},
	{
		ID: "binds-itself", Severity: Unwise, Man: "systemd.socket(5)",
		Doc:    "Where the command line names an address to bind, the program may not look for the sockets that it inherits. With the address of the socket unit it then finds the address in use; with another one nobody answers at that of the socket unit.",
		Reason: "whether the program binds the address where it inherits sockets, only the program knows",
		check:  (*checker).bindsItself,
	},
}

func (c *checker) dependencyMissing() {
	service := c.service()
	for _, option := range needs {
		for _, n := range service.sortedNames("Unit", option) {
			if c.absent[n.name] && len(c.reached()) > 0 {
				c.report(service, n.at, fmt.Sprintf("there is no %s, so the service does not start, and the socket fails with the first client", n.name), "correct the name, or Wants= instead")
			}
		}
	}
}

// late are targets that come after sockets.target.
var late = []string{"basic.target", "multi-user.target", "graphical.target", "default.target"}

// ordinary reports whether a unit is ordered after sockets.target, as services are that
// do not say otherwise. Of services that are not known here those of systemd are taken for
// early ones.
func (c *checker) ordinary(name string) bool {
	if slices.Contains(late, name) {
		return true
	}
	if kind(name) != "service" || strings.HasPrefix(name, "systemd-") {
		return false
	}
	for _, u := range append([]*Unit{c.Service}, c.others...) {
		if u != nil && u.Name == name {
			return !isNo(u.value("Unit", "DefaultDependencies"))
		}
	}
	return true
}

func (c *checker) orderingCycle() {
	for _, s := range c.sockets() {
		if isNo(s.value("Unit", "DefaultDependencies")) {
			continue
		}
		for _, n := range s.sortedNames("Unit", "After") {
			switch {
			case c.Service != nil && n.name == c.Service.Name && !accepts(s):
				c.report(s, n.at, fmt.Sprintf("a circle: %s is after %s, which is after its sockets", s.Name, n.name), "remove the line; a drop-in cannot")
			case c.ordinary(n.name):
				c.report(s, n.at, fmt.Sprintf("a circle: %s is after %s, which is after basic.target, sockets.target and %s", s.Name, n.name, s.Name), "After= in the service instead; or DefaultDependencies=no in the socket").
					set("Unit", "DefaultDependencies", "no")
			}
		}
	}
}

func (c *checker) socketUserMeant() {
	for _, s := range c.sockets() {
		if len(s.list("Socket", "ExecStartPre", "ExecStartPost", "ExecStopPre", "ExecStopPost")) > 0 {
			continue
		}
		for _, name := range []string{"User", "Group"} {
			if o, ok := s.last("Socket", name); ok {
				c.report(s, o, fmt.Sprintf("%s= is that of commands, and the unit has none", name), "Socket"+name+"="+o.Value).set("Socket", name, "").set("Socket", "Socket"+name, o.Value)
			}
		}
	}
}

var comment = regexp.MustCompile(`\s[#;]\s+\S`)

func (c *checker) execComment() {
	for _, u := range c.Units() {
		for _, o := range u.held {
			rest := simplify(o.Value)
			at := comment.FindStringIndex(rest)
			if strings.HasPrefix(o.Name, "Exec") && o.Name != "ExecSearchPath" && o.Name != "ExecPaths" && at != nil && rest[at[0]+1] == '#' {
				c.report(u, o, fmt.Sprintf("%q is no comment, but arguments of the program", strings.TrimSpace(rest[at[0]:])), "put the comment into a line of its own")
			}
		}
	}
}

// background are the flags with which known programs go into the background; those of all
// programs stand at "".
var background = map[string][]string{
	"": {"--daemonize", "--daemonise"}, "gunicorn": {"-D", "--daemon"}, "unicorn": {"-D"}, "haproxy": {"-D"}, "php-fpm": {"-D"}, "lighttpd": nil,
}

func (c *checker) daemonises() {
	service := c.service()
	if t, _ := serviceType(service); service == nil || t == "forking" || t == "oneshot" || len(c.sockets()) == 0 {
		return
	}
	cmd, at := start(service)
	if len(cmd.args) == 0 {
		return
	}
	flags := slices.Concat(background[""], background[cmd.program()])
	for i, arg := range cmd.args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		if value == "" && i+2 < len(cmd.args) {
			value = cmd.args[i+2]
		}
		if slices.Contains(flags, name) && !isNo(value) {
			c.report(service, at, fmt.Sprintf("with %s the main process ends, and systemd kills the program in the background", name), "without "+name)
		}
	}
}

func (c *checker) ipv6Only() {
	for _, s := range c.sockets() {
		all, _ := addresses(s)
		i := slices.IndexFunc(all, func(a address) bool { return a.inet() && a.ip.Addr().Is6() && a.ip.Addr().IsUnspecified() })
		if o, ok := s.last("Socket", "BindIPv6Only"); ok && v6only(s) && i >= 0 && !slices.ContainsFunc(all, func(a address) bool { return a.inet() && a.ip.Addr().Is4() }) {
			c.report(s, o, fmt.Sprintf("clients that come to %v over IPv4 are refused", all[i]), "BindIPv6Only=both; or an address of IPv4 beside it").set("Socket", "BindIPv6Only", "both")
		}
	}
}

// bindFlags are what programs call the address that they bind.
var bindFlags = []string{"bind", "listen", "listen-address", "addr", "address", "bind-address"}

func (c *checker) bindsItself() {
	service := c.service()
	if service == nil || c.daemon != nil || len(c.reached()) == 0 {
		return
	}
	cmd, at := start(service)
	for _, name := range bindFlags {
		value, ok := cmd.flag(name)
		a, valid := parseAddress("Stream", strings.TrimPrefix(strings.TrimPrefix(value, "unix:"), ":"))
		if !ok || !valid || a.other || strings.Contains(value, "$") {
			continue
		}
		same := false
		for _, s := range c.reached() {
			all, _ := addresses(s)
			for _, b := range all {
				same = same || a.clashes(b, true)
			}
		}
		if same {
			c.report(service, at, fmt.Sprintf("if the program binds %s itself, it finds it in use: the socket unit has it", value), "without the flag, if the program takes the sockets that it inherits; else without the socket unit")
		} else {
			c.report(service, at, fmt.Sprintf("the program listens on %s, which no socket unit has: if that is all, nobody answers at the socket", value), "one address in both places")
		}
	}
}
