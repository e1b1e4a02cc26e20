package check

import (
	"fmt"
	"slices"
	"strings"
)

// What systemd reads line by line without complaint, and refuses as a whole.
var refusedRules = []Rule{
	{
		ID: "unit-refused", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "Some options contradict each other, and then systemd loads no unit: several commands in ExecStart= without Type=oneshot, as where a drop-in adds one and does not empty the list first; none at all; Type=dbus without BusName=; Restart=always or on-success with Type=oneshot; PAMName= with KillMode=process or none; in a socket Symlinks= with several paths or none, and MaxConnections=0 with Accept=yes.",
		Reason: "no unit is loaded, so every client is refused",
		check:  (*checker).unitRefused,
	},
}

func (c *checker) unitRefused() {
	if service := c.service(); service != nil && service.Fragment != "" { // drop-ins alone are not the whole
		c.serviceRefused(service)
	}
	for _, s := range c.sockets() {
		if s.Fragment != "" {
			c.socketRefused(s)
		}
	}
}

func (c *checker) serviceRefused(service *Unit) {
	const why = "systemd does not load the service: "
	t, typed := serviceType(service)
	starts := service.list("Service", "ExecStart")
	commands := 0
	for _, o := range starts {
		for _, cmd := range parseCommands(o.Value) {
			if cmd.args[0] != "" { // with a dash before it nothing is no error
				commands++
			}
		}
	}
	_, remains := service.yes("Service", "RemainAfterExit")
	action := service.value("Unit", "SuccessAction")
	idle := action == "" || action == "none" // nothing happens where nothing is run
	stops := len(service.list("Service", "ExecStop")) > 0
	if commands == 0 && (t != "oneshot" || idle && !(stops && remains)) {
		c.report(service, service.at("Service", "ExecStop", "Type"), why+"it has no ExecStart=", "add ExecStart=")
	}
	if commands > 1 && t != "oneshot" {
		last := starts[len(starts)-1]
		f := c.report(service, last, why+fmt.Sprintf("ExecStart= has %d commands, and Type=%s takes one", commands, t), "put an empty ExecStart= before the one that is meant")
		if len(parseCommands(last.Value)) == 1 {
			f.set("Service", "ExecStart", "").set("Service", "ExecStart", last.Value)
		}
	}
	if o, _ := service.last("Service", "Restart"); t == "oneshot" && (o.Value == "always" || o.Value == "on-success") {
		c.report(service, o, why+"Type=oneshot takes no Restart="+o.Value, "Restart=on-failure").set("Service", "Restart", "on-failure")
	}
	if t == "dbus" && service.value("Service", "BusName") == "" {
		c.report(service, typed, why+"Type=dbus takes a BusName=", "BusName= with the name that the program takes")
	}
	mode, _ := service.last("Service", "KillMode")
	if _, pam := service.last("Service", "PAMName"); pam && slices.Contains([]string{"process", "none"}, mode.Value) {
		c.report(service, mode, why+"PAMName= takes KillMode=control-group or mixed", "KillMode=mixed").set("Service", "KillMode", "mixed")
	}
}

func (c *checker) socketRefused(s *Unit) {
	const why = "systemd does not load the socket: "
	all, _ := addresses(s)
	paths := slices.DeleteFunc(all, func(a address) bool {
		return !strings.HasPrefix(a.path, "/") && !strings.HasPrefix(a.at.Value, "%")
	})
	if o, ok := s.last("Socket", "Symlinks"); ok && len(paths) != 1 {
		c.report(s, o, why+fmt.Sprintf("Symlinks= takes one path to point to, and there are %d", len(paths)), "remove it, or split the unit").
			set("Socket", "Symlinks", "")
	}
	if o, ok := s.last("Socket", "MaxConnections"); ok && accepts(s) && s.count(1, "Socket", "MaxConnections") == 0 {
		c.report(s, o, why+"with Accept=yes MaxConnections= must be above 0", "MaxConnections=64, or as many as the machine can bear").
			set("Socket", "MaxConnections", "64")
	}
}
