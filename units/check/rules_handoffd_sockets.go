package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The sockets of services whose main process is handoffd.
var handoffdSocketRules = []Rule{
	{
		ID: "handoffd-no-sockets", Severity: Loss, Man: "handoffd(8)",
		Doc:    "handoffd refuses to start where it inherits no sockets, unless --listen or --no-sockets says otherwise.",
		Reason: "handoffd does not start, so no client is answered",
		check:  (*checker).handoffdNoSockets,
	},
	{
		ID: "handoffd-private-network", Severity: Loss, Man: "systemd.exec(5)",
		Doc:    "What handoffd binds by --listen in a service with PrivateNetwork=yes is in a network where no client is.",
		Reason: "no client reaches the socket",
		check:  (*checker).handoffdPrivateNetwork,
	},
	{
		ID: "handoffd-low-port", Severity: Loss, Man: "capabilities(7)",
		Doc:    "A service with User= or DynamicUser= may not bind a port below 1024 without CAP_NET_BIND_SERVICE. A socket unit may.",
		Reason: "handoffd cannot bind the port, so every client is refused",
		check:  (*checker).handoffdLowPort,
	},
	{
		ID: "handoffd-listen", Severity: Loss, Man: "handoffd(8)",
		Doc:    "Sockets that handoffd binds by --listen are shut while the unit restarts, and clients are refused. Those of a socket unit stay.",
		Reason: "clients are refused at each restart",
		check:  (*checker).handoffdListen,
	},
	{
		ID: "handoffd-listen-ignored", Severity: Ineffective, Man: "handoffd(8)",
		Doc:    "handoffd binds what --listen names only where it inherits no sockets.",
		Reason: "the flag does nothing",
		check:  (*checker).handoffdListenIgnored,
	},
	{
		ID: "handoffd-socket-not-wanted", Severity: Loss, Man: "systemd.unit(5)",
		Doc:    "Where the service does not ask for its socket, starting the service alone starts it without one: handoffd refuses, and nobody listens.",
		Reason: "handoffd does not start, so no client is answered",
		check:  (*checker).handoffdSocketNotWanted,
	},
	{
		ID: "handoffd-stdin", Severity: Loss, Man: "systemd.exec(5)",
		Doc:    "With StandardInput=socket a service has its socket as its standard input, and LISTEN_FDS is not set: handoffd inherits nothing, and refuses to start.",
		Reason: "handoffd does not start, so no client is answered",
		check:  (*checker).handoffdStdin,
	},
	{
		ID: "handoffd-accept", Severity: Unwise, Man: "systemd.socket(5)",
		Doc:    "With Accept=yes there is a handoffd for each connection, with nothing to hand over: a reload of the one does not replace the program of the others.",
		Reason: "clients are served; nothing is replaced",
		check:  (*checker).handoffdAccept,
	},
	{
		ID: "handoffd-compat-non-blocking", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "Programs of start_server and Einhorn, which --compat runs, mostly wait in accept(2) itself. NonBlocking=yes sets O_NONBLOCK of what they inherit, and accept(2) fails at once instead: a worker of Starman then sleeps between its tries, ends after 30 of them, and clients wait meanwhile.",
		Reason: "clients wait, and are answered in the end",
		check:  (*checker).handoffdCompatNonBlocking,
	},
}

func (c *checker) handoffdNoSockets() {
	if c.daemon == nil || len(c.sockets()) > 0 || len(c.missing) > 0 || c.Service.Fragment == "" { // the sockets are where the unit is
		return
	}
	_, none := c.daemon.flag("no-sockets")
	if _, listens := c.daemon.flag("listen"); !none && !listens {
		c.report(c.Service, c.daemon.at, "there is no socket unit, so handoffd refuses to start", fmt.Sprintf("write %s, or name one in Sockets=", sibling(c.Service.Name, "socket")))
	}
}

func (c *checker) handoffdListen() {
	if c.daemon == nil || len(c.sockets()) > 0 || c.already("handoffd-private-network", "handoffd-low-port") {
		return
	}
	if addresses := c.daemon.flags("listen"); len(addresses) > 0 {
		c.report(c.Service, c.daemon.at, fmt.Sprintf("nobody listens on %s while the unit restarts", strings.Join(addresses, " and ")),
			fmt.Sprintf("let %s hold the socket, without --listen", sibling(c.Service.Name, "socket")))
	}
}

func (c *checker) handoffdListenIgnored() {
	if c.daemon == nil || len(c.sockets()) == 0 {
		return
	}
	if addresses := c.daemon.flags("listen"); len(addresses) > 0 {
		c.report(c.Service, c.daemon.at, fmt.Sprintf("handoffd inherits sockets, and does not bind %s", strings.Join(addresses, " or ")), "without --listen; further addresses belong into the socket unit")
	}
}

func (c *checker) handoffdPrivateNetwork() {
	if c.daemon == nil {
		return
	}
	at, yes := c.Service.yes("Service", "PrivateNetwork")
	inet := slices.ContainsFunc(c.daemon.flags("listen"), func(s string) bool { return !strings.Contains(s, "/") })
	if yes && inet && len(c.sockets()) == 0 {
		c.report(c.Service, at, "no client reaches what handoffd binds in a network of its own", "hold the socket in a socket unit: that one PrivateNetwork= leaves alone")
	}
}

func (c *checker) handoffdLowPort() {
	if c.daemon == nil || len(c.sockets()) > 0 {
		return
	}
	o, named := c.Service.last("Service", "User")
	dynamic, yes := c.Service.yes("Service", "DynamicUser")
	if !yes && (!named || o.Value == "root" || o.Value == "0") {
		return
	}
	if !named {
		o = dynamic
	}
	for _, a := range c.Service.list("Service", "AmbientCapabilities") {
		if strings.Contains(a.Value, "CAP_NET_BIND_SERVICE") && !strings.HasPrefix(a.Value, "~") {
			return
		}
	}
	for _, s := range c.daemon.flags("listen") {
		port, err := strconv.Atoi(s[strings.LastIndexAny(s, ":=")+1:])
		if err == nil && port > 0 && port < 1024 {
			c.report(c.Service, o, fmt.Sprintf("without privileges handoffd cannot bind port %d", port), "hold the socket in a socket unit; or AmbientCapabilities=CAP_NET_BIND_SERVICE").
				set("Service", "AmbientCapabilities", "CAP_NET_BIND_SERVICE")
		}
	}
}

func (c *checker) handoffdSocketNotWanted() {
	if c.daemon == nil {
		return
	}
	for _, s := range c.listening() {
		wanted := false
		for _, name := range []string{"Wants", "Requires", "BindsTo", "Upholds"} {
			_, ok := c.Service.names("Unit", name)[s.Name]
			wanted = wanted || ok
		}
		_, ok := c.Service.names("Service", "Sockets")[s.Name]
		if !wanted && !ok {
			c.report(c.Service, c.daemon.at, fmt.Sprintf("started without %s handoffd has no sockets, and refuses", s.Name), "Wants= and After= of the socket").
				set("Unit", "Wants", s.Name).set("Unit", "After", s.Name)
		}
	}
}

func (c *checker) handoffdStdin() {
	if c.daemon == nil {
		return
	}
	if o, _ := c.Service.last("Service", "StandardInput"); o.Value == "socket" {
		c.report(c.Service, o, "handoffd is not told of its sockets, and refuses to start", "StandardInput=null").set("Service", "StandardInput", "null")
	}
}

func (c *checker) handoffdAccept() {
	if c.daemon == nil {
		return
	}
	for _, s := range c.accepting() {
		at, _ := s.yes("Socket", "Accept")
		c.report(s, at, "each connection has a handoffd of its own", "Accept=no, and a service that is no template")
	}
}

func (c *checker) handoffdCompatNonBlocking() {
	if c.daemon == nil || len(c.listening()) == 0 {
		return
	}
	compat, ok := c.daemon.flag("compat")
	if at, yes := c.Service.yes("Service", "NonBlocking"); ok && yes {
		c.report(c.Service, at, fmt.Sprintf("a program of %s that waits in accept(2) does not wait", compat), "NonBlocking=no").set("Service", "NonBlocking", "no")
	}
}
