package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

// A start that fails while a client waits. The client stays in the queue, so systemd
// starts the service again at once, and again, until the service reaches its start limit
// or the socket its trigger limit. Then the socket fails: the client is reset, and every
// later one refused until a person starts the socket.
//
// Two lines keep the socket. With Restart= the service counts as activating between two
// tries, and a socket does not start such a service. With TriggerLimitIntervalSec=0 the
// socket tries without end. Restart= is the gentler one, and does nothing where the
// start fails before the service has left the state inactive.
var startRules = []Rule{
	{
		ID: "start-fails", Severity: Loss, Man: "systemd.service(5)", Issues: []int{11553},
		Doc:    "A program or ExecStartPre= that fails while a client waits is started again at once, until the socket fails too: with service-start-limit-hit after five tries, or trigger-limit-hit after twenty. Restart=on-failure or always, RestartSec= and StartLimitIntervalSec=0 keep the socket, and the client waits for a start that works. RestartPreventExitStatus= takes Restart= back.",
		Reason: "after one failed start every client is refused until a person starts the socket",
		check:  (*checker).startFails,
	},
	{
		ID: "start-limit", Severity: Loss, Man: "systemd.unit(5)", Issues: []int{11553},
		Doc:    "A service that is started more often than StartLimitBurst= in StartLimitIntervalSec=, five times in 10 s where they are not set, has failed for good, and its sockets with it. Each systemctl restart counts: six quick ones are enough.",
		Reason: "at the limit the socket is closed, and every client refused until a person starts it",
		check:  (*checker).startLimit,
	},
	{
		ID: "start-condition", Severity: Loss, Man: "systemd.unit(5)", Issues: []int{2467, 3167},
		Doc:    "Where an Assert…=, an ExecCondition= or a condition that may change does not hold, each client starts the service in vain, at once and again, until the socket reaches its trigger limit and fails. Restart= does not help: the service was not started. A condition that the socket has too keeps it from listening where the condition does not hold; TriggerLimitIntervalSec=0 keeps the socket, and from v255 on PollLimitIntervalSec= keeps it from spinning.",
		Reason: "a client that comes while it does not hold shuts the socket for all that come later",
		check:  (*checker).startCondition,
	},
	{
		ID: "start-dependency", Severity: Loss, Man: "systemd.unit(5)",
		Doc:    "Where a unit of Requires=, BindsTo= or Requisite= does not start, neither does the service. Each client starts it in vain, at once and again, until the socket reaches its trigger limit and fails. Restart= does not help: the service was not started. With Wants= the program starts, and finds out by itself; TriggerLimitIntervalSec=0 keeps the socket, and from v255 on PollLimitIntervalSec= keeps it from spinning.",
		Reason: "a client that comes while the other unit is down shuts the socket for all that come later",
		check:  (*checker).startDependency,
	},
	{
		ID: "condition-on-service", Severity: Unwise, Man: "systemd.unit(5)", Issues: []int{2467, 3167},
		Doc:    "Where the machine is not what a condition of the service wants, such as ConditionVirtualization=, the socket listens all the same, and fails at the first client. In the socket the condition keeps it from listening at all.",
		Reason: "on such a machine the service serves nobody in either case",
		check:  (*checker).conditionOnService,
	},
}

// triggersForever reports whether a socket starts its service however often that fails.
func triggersForever(s *Unit) bool { return s.rate("TriggerLimit", 20) == 0 }

// fragile are the sockets that a start which fails shuts for good.
func (c *checker) fragile() []*Unit {
	return slices.DeleteFunc(slices.Clone(c.reached()), triggersForever)
}

// startLimited reports whether there is a limit to the starts of a service.
func (u *Unit) startLimited() bool {
	interval, burst := u.startLimit()
	return interval > 0 && burst > 0
}

// retries reports whether systemd starts the service again where its program fails.
func (u *Unit) retries() bool {
	return slices.Contains([]string{"always", "on-failure"}, u.value("Service", "Restart"))
}

func (c *checker) startFails() {
	service := c.service()
	if service == nil || len(c.fragile()) == 0 || c.already("store-restart-no", "store-start-limit") {
		return
	}
	prevent, prevented := service.last("Service", "RestartPreventExitStatus")
	switch {
	case !service.retries():
		c.restart(c.report(service, service.at("Service", "Restart", "ExecStart"),
			"a start that fails while a client waits shuts the socket for good", "Restart=on-failure with RestartSec=1, and StartLimitIntervalSec=0"))
	case prevented:
		c.report(service, prevent, fmt.Sprintf("where the program exits with %s while a client waits, the socket is shut for good", prevent.Value), "remove the line, or in the socket TriggerLimitIntervalSec=0").
			set("Service", "RestartPreventExitStatus", "")
	}
}

func (c *checker) startLimit() {
	service := c.service()
	if service == nil || !service.startLimited() || len(c.reached()) == 0 || c.already("start-fails", "store-restart-no", "store-start-limit") {
		return
	}
	at := service.at("Unit", "StartLimitIntervalSec", "StartLimitBurst")
	if _, ok := service.last("Unit", "StartLimitIntervalSec", "StartLimitBurst"); !ok {
		at = service.at("Service", "Restart", "ExecStart")
	}
	c.restart(c.report(service, at, "a few starts in a row, each systemctl restart counted, shut the socket for good", "StartLimitIntervalSec=0, with a RestartSec= that keeps a crash loop slow"))
}

// settled are the conditions that hold of a machine or not, and do not change while it
// runs.
var settled = strings.Fields(`Architecture Firmware Virtualization Host KernelCommandLine KernelVersion Version Credential Environment
	Security Capability ControlGroupController Memory CPUs CPUFeature OSRelease User Group FirstBoot NeedsUpdate MachineTag Fraction`)

// condition returns what an option of [Unit] asks for before a start: "PathExists".
func condition(o units.Option) (asked string, assert, ok bool) {
	if o.Section != "Unit" || o.Value == "" {
		return "", false, false
	}
	if asked, ok := strings.CutPrefix(o.Name, "Condition"); ok {
		return asked, false, true
	}
	asked, ok = strings.CutPrefix(o.Name, "Assert")
	return asked, ok, ok
}

// conditions calls f for each condition of the service that a socket has not.
func (c *checker) conditions(sockets []*Unit, f func(s *Unit, o units.Option, settles bool)) {
	service := c.service()
	if service == nil {
		return
	}
	for _, s := range sockets {
		of := make(map[Assign]bool)
		for _, o := range s.held {
			of[Assign{Name: o.Name, Value: o.Value}] = true
		}
		for _, o := range service.held {
			asked, assert, ok := condition(o)
			if ok && !of[Assign{Name: o.Name, Value: o.Value}] {
				f(s, o, !assert && slices.Contains(settled, asked))
			}
		}
	}
}

// keepTriggering is the mend where Restart= does not help.
const keepTriggering = "TriggerLimitIntervalSec=0 in the socket"

func (c *checker) startCondition() {
	service := c.service()
	c.conditions(c.fragile(), func(s *Unit, o units.Option, settles bool) {
		if !settles {
			c.keep(c.report(service, o, fmt.Sprintf("a client that comes where %s= does not hold shuts %s for good", o.Name, s.Name), "the same line in the socket, which then does not listen; or "+keepTriggering), []*Unit{s})
		}
	})
	if sockets := c.fragile(); len(sockets) > 0 {
		for _, o := range service.list("Service", "ExecCondition") {
			c.keep(c.report(service, o, fmt.Sprintf("a client that comes where the condition does not hold shuts %s for good", unitNames(sockets)), "let the program find out by itself; or "+keepTriggering), sockets)
		}
	}
}

// needs are the dependencies without which a unit is not started.
var needs = []string{"Requires", "BindsTo", "BindTo", "Requisite", "RequiresOverridable", "RequisiteOverridable"}

// standing reports whether a unit is up whenever a service can be started: a target or a
// slice, and what boots the machine.
func standing(name string) bool {
	switch kind(name) {
	case "target", "slice", "scope":
		return true
	}
	return slices.Contains([]string{"-.mount", "dbus.socket", "dbus.service", "systemd-journald.socket", "systemd-journald.service", "systemd-tmpfiles-setup.service"}, name)
}

func (c *checker) startDependency() {
	service := c.service()
	if service == nil {
		return
	}
	sockets := c.fragile()
	if len(sockets) == 0 {
		return
	}
	for _, option := range needs {
		for _, n := range service.sortedNames("Unit", option) {
			if standing(n.name) || c.has(n.name) || c.absent[n.name] {
				continue
			}
			c.keep(c.report(service, n.at, fmt.Sprintf("a client that comes while %s is down shuts %s for good", n.name, unitNames(sockets)), "Wants= and After= instead, and a program that waits for it; or "+keepTriggering), sockets)
		}
	}
}

// keep adds to f what keeps the sockets however often their service fails to start.
func (c *checker) keep(f *Finding, sockets []*Unit) {
	for _, s := range sockets {
		f.Fix = append(f.Fix, Assign{s.Name, "Socket", "TriggerLimitIntervalSec", "0"})
	}
}

// unitNames lists units in a sentence.
func unitNames(all []*Unit) string {
	var names []string
	for _, u := range all {
		names = append(names, u.Name)
	}
	return strings.Join(names, " and ")
}

func (c *checker) conditionOnService() {
	c.conditions(c.listening(), func(s *Unit, o units.Option, settles bool) {
		if settles {
			c.report(c.Service, o, fmt.Sprintf("where the condition does not hold, connections start the service in vain until %s fails", s.Name),
				"put it into the socket too").Fix = []Assign{{s.Name, "Unit", o.Name, o.Value}}
		}
	})
}
