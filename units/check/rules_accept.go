package check

import (
	"fmt"
	"slices"
)

// Accept=yes: systemd accepts each connection, and starts an instance of a template
// for it.
var acceptRules = []Rule{
	{
		ID: "accept-not-stream", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "With Accept=yes systemd loads no socket unit that listens for datagrams.",
		Reason: "the socket is not loaded, so every client is refused",
		check:  (*checker).acceptNotStream,
	},
	{
		ID: "accept-service", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "With Accept=yes the service is an instance of the template of the same name. systemd does not load a unit that names another one in Service=.",
		Reason: "the socket is not loaded, so every client is refused",
		check:  (*checker).acceptService,
	},
	{
		ID: "accept-without-template", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "With Accept=yes each connection is given to an instance of NAME@.service. Where there is none the first connection is cut.",
		Reason: "each connection is closed unanswered",
		check:  (*checker).acceptWithoutTemplate,
	},
	{
		ID: "accept-restart", Severity: Ineffective, Man: "systemd.service(5)",
		Doc:    "An instance that was started for a connection has it only once. Restarted, it has none, and fails.",
		Reason: "an instance without a connection serves nobody",
		check:  (*checker).acceptRestart,
	},
	{
		ID: "accept-store", Severity: Ineffective, Man: "systemd.service(5)",
		Doc:    "What the instance for a connection stores is for its own next start, which does not come: the next connection has another instance.",
		Reason: "nothing takes out what is stored",
		check:  (*checker).acceptStore,
	},
	{
		ID: "accept-max-connections", Severity: Unwise, Man: "systemd.socket(5)", Issues: []int{20685},
		Doc:    "Where MaxConnections= is not set systemd closes the 65th connection at once. Failed instances count, too, unless CollectMode=inactive-or-failed.",
		Reason: "it takes 65 clients at once",
		check:  (*checker).acceptMaxConnections,
	},
	{
		ID: "max-connections-ignored", Severity: Ineffective, Man: "systemd.socket(5)",
		Doc:    "MaxConnections= and MaxConnectionsPerSource= bound instances. With Accept=no there is one service, which must bound its connections itself.",
		Reason: "the line does nothing",
		check:  (*checker).maxConnectionsIgnored,
	},
	{
		ID: "fd-name-accept", Severity: Ineffective, Man: "systemd.socket(5)",
		Doc:    "With Accept=yes the descriptor is called \"connection\" before v257, whatever FileDescriptorName= says.",
		Reason: "the line does nothing on this systemd",
		check:  (*checker).fdNameAccept,
	},
}

// accepting are the socket units with Accept=yes.
func (c *checker) accepting() (all []*Unit) {
	for _, s := range c.sockets() {
		if accepts(s) {
			all = append(all, s)
		}
	}
	return all
}

func (c *checker) acceptNotStream() {
	for _, s := range c.accepting() {
		all, _ := addresses(s)
		i := slices.IndexFunc(all, func(a address) bool { return a.kind == "Datagram" || a.kind == "FIFO" })
		if i >= 0 {
			at, _ := s.yes("Socket", "Accept")
			c.report(s, at, fmt.Sprintf("systemd does not load the unit: there is nothing to accept on %v", all[i]), "Accept=no, or another unit for it")
		}
	}
}

func (c *checker) acceptService() {
	for _, s := range c.accepting() {
		if o, ok := s.last("Socket", "Service"); ok {
			c.report(s, o, fmt.Sprintf("systemd does not load the unit: with Accept=yes it starts %s, and no other", target(s)), "remove Service=, which a drop-in cannot, and name the template after the socket")
		}
	}
}

func (c *checker) acceptWithoutTemplate() {
	for _, s := range c.accepting() {
		if c.Service == nil && target(s) == c.want {
			at, _ := s.yes("Socket", "Accept")
			c.report(s, at, fmt.Sprintf("there is no %s to give a connection to", c.want), "write it, or, if the service accepts by itself, Accept=no")
		}
	}
}

func (c *checker) acceptRestart() {
	service := c.service()
	if len(c.accepting()) == 0 || service == nil {
		return
	}
	if o, ok := service.last("Service", "Restart"); ok && o.Value != "no" {
		c.report(service, o, "an instance that is restarted has no connection any more", "Restart=no").set("Service", "Restart", "no")
	}
}

func (c *checker) acceptStore() {
	service := c.service()
	if len(c.accepting()) == 0 || service == nil {
		return
	}
	if o, ok := service.last("Service", "FileDescriptorStoreMax"); ok && o.Value != "0" {
		c.report(service, o, "what an instance stores no other one gets", "remove it, or let one service accept all connections: Accept=no")
	}
}

func (c *checker) acceptMaxConnections() {
	for _, s := range c.accepting() {
		if _, ok := s.last("Socket", "MaxConnections"); !ok {
			at, _ := s.yes("Socket", "Accept")
			c.report(s, at, "the 65th connection at once is closed: MaxConnections= is 64 where it is not set", "set MaxConnections= to what the machine can bear")
		}
	}
}

func (c *checker) maxConnectionsIgnored() {
	for _, s := range c.listening() {
		for _, name := range []string{"MaxConnections", "MaxConnectionsPerSource"} {
			if o, ok := s.last("Socket", name); ok {
				c.report(s, o, name+"= has no effect with Accept=no", "remove it, and bound the connections in the service")
			}
		}
	}
}

func (c *checker) fdNameAccept() {
	for _, s := range c.accepting() {
		if o, ok := s.last("Socket", "FileDescriptorName"); ok && c.Systemd < 257 {
			c.report(s, o, fmt.Sprintf("with Accept=yes systemd %d calls the descriptor \"connection\"", c.Systemd), "let the program take it under that name")
		}
	}
}
