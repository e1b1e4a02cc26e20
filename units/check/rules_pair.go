package check

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// What a service and its sockets must agree about.
var pairRules = []Rule{
	{
		ID: "socket-without-service", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "systemd does not start a socket whose service it cannot find: NAME.service, or what Service= names.",
		Reason: "the socket does not start, so every client is refused",
		check:  (*checker).socketWithoutService,
	},
	{
		ID: "service-masked", Severity: Loss, Man: "systemctl(1)",
		Doc:    "systemd does not start a socket whose service is masked.",
		Reason: "the socket does not start, so every client is refused",
		check:  (*checker).serviceMasked,
	},
	{
		ID: "socket-missing", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "A socket unit that Sockets= names and that there is not, or that is masked, is left out without an error. Nobody listens.",
		Reason: "clients of that socket are refused",
		check:  (*checker).socketMissing,
	},
	{
		ID: "socket-stops-with-service", Severity: Loss, Man: "systemd.unit(5)",
		Doc:    "Where the socket has PartOf=, Requires=, Requisite= or BindsTo= of its service, or the service PropagatesStopTo= of its socket, stopping or restarting the service shuts the socket. Clients are refused meanwhile, and those in the queue are reset.",
		Reason: "clients are refused at each restart, and those in the queue are reset",
		check:  (*checker).socketStopsWithService,
	},
	{
		ID: "service-stops-with-socket", Severity: Unwise, Man: "systemd.unit(5)", Issues: []int{21707},
		Doc:    "Where the service has Requires=, BindsTo= or PartOf= of its socket, stopping the socket takes the service down with it, and all connections. Wants= starts the socket just as well. A service without its sockets should refuse to start.",
		Reason: "connections are cut only when somebody stops the socket",
		check:  (*checker).serviceStopsWithSocket,
	},
	{
		ID: "socket-conflicts", Severity: Loss, Man: "systemd.unit(5)",
		Doc:    "Where a socket and the service that it starts conflict, starting the service shuts the socket, at once or at the next start, and the service inherits nothing. Where the service wants the socket too, it is not defined which of the two holds.",
		Reason: "the socket is shut while the service runs",
		check:  (*checker).socketConflicts,
	},
	{
		ID: "runtime-directory-removes-socket", Severity: Loss, Man: "systemd.exec(5)", Issues: []int{8635, 7274},
		Doc:    "systemd removes the RuntimeDirectory= of a service when it stops, and with it the path of a Unix socket in it. The socket unit notices nothing, and no client finds the socket until it is started anew.",
		Reason: "after a stop no client finds the socket",
		check:  (*checker).runtimeDirectory,
	},
	{
		ID: "remain-after-exit", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "With RemainAfterExit=yes the service counts as running when its program has ended. The socket then does not start it again, and clients wait for an answer that does not come.",
		Reason: "clients wait for an answer that does not come",
		check:  (*checker).remainAfterExit,
	},
	{
		ID: "stop-when-unneeded", Severity: Loss, Man: "systemd.unit(5)", Issues: []int{2106},
		Doc:    "A service that its socket has started, and that is WantedBy= nothing, is needed by no unit: StopWhenUnneeded=yes stops it at once, with the connections it has.",
		Reason: "the connection of the client that started the service is cut",
		check:  (*checker).stopWhenUnneeded,
	},
	{
		ID: "stdin-several", Severity: Loss, Man: "systemd.exec(5)",
		Doc:    "StandardInput=socket takes exactly one socket. A service that has more does not start.",
		Reason: "the service does not start, so no client is answered",
		check:  (*checker).stdinSeveral,
	},
	{
		ID: "fd-name-twice", Severity: Unwise, Man: "systemd.socket(5)",
		Doc:    "Two socket units of one service with one FileDescriptorName=, and sockets of one kind: their order is not defined, so the program cannot tell which is which.",
		Reason: "a program that does not look at addresses takes one socket for the other",
		check:  (*checker).fdNameTwice,
	},
	{
		ID: "socket-shared", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "Where several services inherit a socket, each takes connections that are meant for the others, each start sets the O_NONBLOCK of all by its own NonBlocking=, and one that hits its start limit shuts the socket for all.",
		Reason: "whether clients are lost depends on the other service",
		check:  (*checker).socketShared,
	},
	{
		ID: "non-blocking", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "systemd sets or clears O_NONBLOCK of the sockets at every start, for all that have them. Cleared under a running Go program, its Accept stays in the kernel, and closing the listener does not wake it. Plain programs under handoffd (--ready exec or alive, --compat) may want to wait in accept(2) itself.",
		Reason: "it is a trap for some programs, which then do not stop in time",
		check:  (*checker).nonBlocking,
	},
	{
		ID: "ip-filter-bypassed", Severity: Ineffective, Man: "systemd.resource-control(5)",
		Doc:    "IPAddressDeny= of a service does not bind the sockets that it inherits: those obey the lists of the socket unit.",
		Reason: "the filter does not do what it seems to: it lets everybody in",
		check:  (*checker).ipFilterBypassed,
	},
}

func (c *checker) socketWithoutService() {
	if c.Service != nil || strings.Contains(c.want, "%") {
		return
	}
	for _, s := range c.listening() {
		at := s.at("Socket", "Service", "ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO")
		c.report(s, at, fmt.Sprintf("systemd does not start the socket: there is no %s", c.want), "write it, or name the service in Service=")
	}
}

func (c *checker) serviceMasked() {
	if c.Service == nil || !c.Service.Masked {
		return
	}
	for _, s := range c.sockets() {
		c.report(s, s.at("Socket", "Service", "Accept", "ListenStream", "ListenDatagram"),
			fmt.Sprintf("systemd does not start the socket: %s is masked, by %s", c.Service.Name, c.Service.path()), "systemctl unmask "+c.Service.Name)
	}
}

func (c *checker) socketMissing() {
	service := c.service()
	if service == nil {
		return
	}
	named := service.names("Service", "Sockets")
	for _, name := range slices.Sorted(maps.Keys(c.missing)) {
		c.report(service, named[name], fmt.Sprintf("there is no %s, so nobody listens on it", name), "write it, or correct the name")
	}
	for _, s := range c.Sockets {
		if o, ok := named[s.Name]; ok && s.Masked {
			c.report(service, o, fmt.Sprintf("%s is masked, by %s, so nobody listens on it", s.Name, s.path()), "systemctl unmask "+s.Name)
		}
	}
}

// binding are the dependencies by which stopping the one unit stops the other.
var binding = []string{"PartOf", "Requires", "Requisite", "BindsTo", "BindTo", "StopPropagatedFrom"}

func (c *checker) socketStopsWithService() {
	service := c.service()
	if service == nil {
		return
	}
	for _, s := range c.reached() {
		for _, name := range binding {
			if o, ok := s.names("Unit", name)[service.Name]; ok {
				c.report(s, o, fmt.Sprintf("%s=%s shuts the socket whenever the service stops or restarts", name, service.Name),
					"remove the line; a drop-in cannot")
			}
		}
		if o, ok := service.names("Unit", "PropagatesStopTo")[s.Name]; ok {
			c.report(service, o, "PropagatesStopTo= shuts the socket whenever the service stops", "remove the line; a drop-in cannot")
		}
	}
}

func (c *checker) serviceStopsWithSocket() {
	service := c.service()
	if service == nil {
		return
	}
	for _, s := range c.listening() {
		for _, name := range binding {
			if o, ok := service.names("Unit", name)[s.Name]; ok {
				c.report(service, o, fmt.Sprintf("%s=%s takes the service down when the socket stops", name, s.Name), "Wants= and After= instead; a drop-in cannot remove the line")
			}
		}
	}
}

func (c *checker) socketConflicts() {
	service := c.service()
	if service == nil {
		return
	}
	for _, s := range c.listening() {
		if o, ok := s.names("Unit", "Conflicts")[service.Name]; ok {
			c.report(s, o, "starting the service shuts the socket", "remove the line; a drop-in cannot")
		}
		if o, ok := service.names("Unit", "Conflicts")[s.Name]; ok {
			c.report(service, o, "starting the service shuts the socket", "remove the line; a drop-in cannot")
		}
	}
}

func (c *checker) runtimeDirectory() {
	service := c.service()
	if preserve, _ := parseBool(service.value("Service", "RuntimeDirectoryPreserve")); service == nil || preserve {
		return
	}
	run := "/run"
	if service.User {
		run = "%t"
	}
	o, _ := service.last("Service", "RuntimeDirectory")
	removed := make(map[string]bool)
	for name := range service.names("Service", "RuntimeDirectory") {
		name, _, _ = strings.Cut(name, ":")
		removed[filepath.Join(run, name)] = true
	}
	for _, s := range c.sockets() {
		all, _ := addresses(s)
		for _, a := range all {
			for dir := filepath.Dir(runPath(s.expand(a.at.Value), run)); len(dir) > 1; dir = filepath.Dir(dir) {
				if removed[dir] {
					c.report(service, o, fmt.Sprintf("when the service stops systemd removes %s/, with the socket of %s:%d", dir, a.at.File, a.at.Line),
						"another path for the socket; or RuntimeDirectoryPreserve=yes, where other paths in it may stay").
						set("Service", "RuntimeDirectoryPreserve", "yes")
				}
			}
		}
	}
}

// runPath is a path with the folder of runtime files at its front, whichever way it
// is written.
func runPath(path, run string) string {
	for _, prefix := range []string{"%t/", "/var/run/"} {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			return filepath.Join(run, rest)
		}
	}
	return path
}

func (c *checker) remainAfterExit() {
	service := c.service()
	if at, yes := service.yes("Service", "RemainAfterExit"); yes && len(c.listening()) > 0 {
		c.report(service, at, "when the program has ended nobody answers, and the socket does not start it again", "RemainAfterExit=no").
			set("Service", "RemainAfterExit", "no")
	}
}

func (c *checker) stopWhenUnneeded() {
	service := c.service()
	wanted := len(service.list("Install", "WantedBy", "RequiredBy", "UpheldBy")) > 0
	if at, yes := service.yes("Unit", "StopWhenUnneeded"); yes && !wanted && len(c.sockets()) > 0 {
		c.report(service, at, "systemd stops the service as soon as the socket has started it", "StopWhenUnneeded=no").
			set("Unit", "StopWhenUnneeded", "no")
	}
}

func (c *checker) stdinSeveral() {
	service := c.service()
	n := 0
	for _, s := range c.listening() {
		all, _ := addresses(s)
		n += len(all)
	}
	if o, _ := service.last("Service", "StandardInput"); o.Value == "socket" && n > 1 {
		c.report(service, o, fmt.Sprintf("the service has %d sockets, and does not start", n), "leave it out, and take the sockets as sd_listen_fds(3) has it").
			set("Service", "StandardInput", "null")
	}
}

func (c *checker) fdNameTwice() {
	seen := make(map[string]*Unit)
	for _, s := range c.listening() {
		o, ok := s.last("Socket", "FileDescriptorName")
		if !ok {
			continue
		}
		all, _ := addresses(s)
		for _, a := range all {
			key := fmt.Sprint(s.expand(o.Value), a.kind, a.inet())
			if first := seen[key]; first != nil && first != s {
				c.report(s, o, fmt.Sprintf("%s has the name %q too: the program cannot tell the two apart", first.Name, o.Value), "another name")
				break
			}
			seen[key] = s
		}
	}
}

func (c *checker) socketShared() {
	service := c.service()
	if service == nil || len(c.others) == 0 {
		return
	}
	for _, s := range c.listening() {
		for _, other := range c.others {
			o, ok := other.names("Service", "Sockets")[s.Name]
			if own, named := service.names("Service", "Sockets")[s.Name]; named && !ok {
				o, ok = own, true
			}
			if ok {
				c.report(service, o, fmt.Sprintf("%s and %s both inherit %s", service.Name, other.Name, s.Name),
					"a socket of its own for each; or in both NonBlocking=yes and StartLimitIntervalSec=0")
			}
		}
	}
}

func (c *checker) ipFilterBypassed() {
	service := c.service()
	deny := service.list("Service", "IPAddressDeny")
	for _, s := range c.sockets() {
		all, _ := addresses(s)
		if len(deny) == 0 || len(s.list("Socket", "IPAddressDeny")) > 0 || !slices.ContainsFunc(all, address.inet) {
			continue
		}
		f := c.report(service, deny[0], fmt.Sprintf("the filter does not bind the sockets that the service inherits from %s", s.Name), "the same lists in the socket")
		for _, o := range append(service.list("Service", "IPAddressAllow"), deny...) {
			f.Fix = append(f.Fix, Assign{s.Name, "Socket", o.Name, o.Value})
		}
	}
}

func (c *checker) nonBlocking() {
	service := c.service()
	at, yes := service.yes("Service", "NonBlocking")
	if service == nil || yes || len(c.listening()) == 0 || c.daemon == nil && len(c.others) == 0 || c.daemon.plain() {
		return
	}
	if at.Line == 0 {
		at = service.at("Service", "ExecStart")
	}
	c.report(service, at, "systemd clears O_NONBLOCK of the sockets at each start", "NonBlocking=yes").set("Service", "NonBlocking", "yes")
}
