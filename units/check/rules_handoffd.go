package check

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Services whose main process is handoffd.
var handoffdRules = []Rule{
	{
		ID: "handoffd-no-sockets", Severity: Loss, Man: "handoffd(8)",
		Doc:   "handoffd refuses to start where it inherits no sockets, unless --listen or --no-sockets says otherwise.",
		check: (*checker).handoffdNoSockets,
	},
	{
		ID: "handoffd-private-network", Severity: Loss, Man: "systemd.exec(5)",
		Doc:   "What handoffd binds by --listen in a service with PrivateNetwork=yes is in a network where no client is.",
		check: (*checker).handoffdPrivateNetwork,
	},
	{
		ID: "handoffd-low-port", Severity: Loss, Man: "capabilities(7)",
		Doc:   "A service with User= or DynamicUser= may not bind a port below 1024 without CAP_NET_BIND_SERVICE. A socket unit may.",
		check: (*checker).handoffdLowPort,
	},
	{
		ID: "handoffd-listen", Severity: Loss, Man: "handoffd(8)",
		Doc:   "Sockets that handoffd binds by --listen are shut while the unit restarts, and clients are refused. Those of a socket unit stay.",
		check: (*checker).handoffdListen,
	},
	{
		ID: "handoffd-listen-ignored", Severity: Ineffective, Man: "handoffd(8)",
		Doc:   "handoffd binds what --listen names only where it inherits no sockets.",
		check: (*checker).handoffdListenIgnored,
	},
	{
		ID: "handoffd-socket-not-wanted", Severity: Loss, Man: "systemd.unit(5)",
		Doc:   "Where the service does not ask for its socket, starting the service alone starts it without one: handoffd refuses, and nobody listens.",
		check: (*checker).handoffdSocketNotWanted,
	},
	{
		ID: "handoffd-type", Severity: Loss, Man: "systemd.service(5)",
		Doc:   "handoffd does not fork: with Type=forking systemd waits in vain for its end, and kills it after TimeoutStartSec=.",
		check: func(c *checker) { c.handoffdType("forking", "systemd waits for handoffd to fork, and then kills it") },
	},
	{
		ID: "handoffd-oneshot", Severity: Unwise, Man: "systemd.service(5)",
		Doc:   "handoffd does not end: with Type=oneshot the service never counts as started, and what waits for it waits for ever.",
		check: func(c *checker) { c.handoffdType("oneshot", "the service never counts as started") },
	},
	{
		ID: "handoffd-stdin", Severity: Loss, Man: "systemd.exec(5)",
		Doc:   "With StandardInput=socket a service has its socket as its standard input, and LISTEN_FDS is not set: handoffd inherits nothing, and refuses to start.",
		check: (*checker).handoffdStdin,
	},
	{
		ID: "handoffd-compat-non-blocking", Severity: Unwise, Man: "systemd.service(5)",
		Doc:   "Programs of start_server and Einhorn, which --compat runs, mostly wait in accept(2) itself. NonBlocking=yes sets O_NONBLOCK of what they inherit, and accept(2) fails at once instead: a worker of Starman then sleeps between its tries, ends after 30 of them, and clients wait meanwhile.",
		check: (*checker).handoffdCompatNonBlocking,
	},
	{
		ID: "handoffd-accept", Severity: Unwise, Man: "systemd.socket(5)",
		Doc:   "With Accept=yes there is a handoffd for each connection, with nothing to hand over: a reload of the one does not replace the program of the others.",
		check: (*checker).handoffdAccept,
	},
	{
		ID: "handoffd-stop-signal", Severity: Loss, Man: "systemd.kill(5)",
		Doc:   "With KillMode=control-group, the default, systemd sends SIGTERM to the generations itself. A program that drains on another signal, which --stop-signal names, ends at once.",
		check: (*checker).handoffdStopSignal,
	},
	{
		ID: "handoffd-kill-mode", Severity: Unwise, Man: "systemd.kill(5)",
		Doc:   "KillMode=mixed leaves it to handoffd to stop the generations, and kills what is left. control-group signals each of their processes twice, process and none leave generations behind that nobody supervises.",
		check: (*checker).handoffdKillMode,
	},
	{
		ID: "handoffd-kill-signal", Severity: Loss, Man: "handoffd(8)",
		Doc:   "handoffd stops on SIGTERM, SIGINT and SIGUSR1. On another KillSignal= it ends at once, or does something else until it is killed: either way the generations cannot drain.",
		check: (*checker).handoffdKillSignal,
	},
	{
		ID: "handoffd-reload-signal", Severity: Ineffective, Man: "handoffd(8)",
		Doc:   "handoffd reloads on SIGHUP and on SIGRTMIN+1. On any other ReloadSignal= it does something else, or nothing, and systemctl reload waits in vain.",
		check: (*checker).handoffdReloadSignal,
	},
	{
		ID: "handoffd-store", Severity: Loss, Man: "systemd.service(5)",
		Doc:   "Without FileDescriptorStoreMax= systemd keeps nothing for handoffd: what generations leave for the next one, connections and state, is lost when the unit restarts.",
		check: (*checker).handoffdStore,
	},
	{
		ID: "handoffd-no-reload", Severity: Unwise, Man: "systemd.service(5)",
		Doc:   "Without ExecReload=handoffd reload, or Type=notify-reload, systemctl reload is refused, and only a restart replaces the program.",
		check: (*checker).handoffdNoReload,
	},
	{
		ID: "handoffd-reload-ignored", Severity: Unwise, Man: "systemd.service(5)",
		Doc:   "With a dash in front of it a failed ExecReload= counts as success: systemctl reload does not say that the new program was undone.",
		check: (*checker).handoffdReloadIgnored,
	},
	{
		ID: "handoffd-control", Severity: Unwise, Man: "handoffd(8)",
		Doc:   "The control socket, over which handoffd reload and handoffd status ask, is in RuntimeDirectory=, or where --control says. Where neither is, or the place is read-only to the service (ProtectSystem=strict), there is none.",
		check: (*checker).handoffdControl,
	},
	{
		ID: "handoffd-delegate", Severity: Unwise, Man: "systemd.resource-control(5)",
		Doc:   "Without Delegate=yes generations are process groups: a child that leaves its group outlives its generation.",
		check: (*checker).handoffdDelegate,
	},
	{
		ID: "handoffd-cgroups-protected", Severity: Ineffective, Man: "systemd.exec(5)",
		Doc:   "ProtectControlGroups=yes or strict makes the control groups read-only, and Delegate=yes useless. From v257 on private works.",
		check: (*checker).handoffdCgroupsProtected,
	},
	{
		ID: "handoffd-oom", Severity: Unwise, Man: "systemd.service(5)",
		Doc:   "With OOMPolicy=stop or kill the kernel's killing one process, say of a generation that is only starting, ends the whole service. Delegate=yes makes continue the default, from v253 on.",
		check: (*checker).handoffdOOM,
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

func (c *checker) handoffdType(unfit, reason string) {
	if c.daemon == nil {
		return
	}
	if t, at := serviceType(c.Service); t == unfit {
		c.report(c.Service, at, reason, "Type=notify").set("Service", "Type", "notify")
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

func (c *checker) handoffdCompatNonBlocking() {
	if c.daemon == nil || len(c.listening()) == 0 {
		return
	}
	compat, ok := c.daemon.flag("compat")
	if at, yes := c.Service.yes("Service", "NonBlocking"); ok && yes {
		c.report(c.Service, at, fmt.Sprintf("a program of %s that waits in accept(2) does not wait", compat), "NonBlocking=no").set("Service", "NonBlocking", "no")
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

// signalName is a signal as the rules compare it: "TERM".
func signalName(s string) string {
	if name := strings.TrimPrefix(strings.ToUpper(s), "SIG"); name != "15" {
		return name
	}
	return "TERM"
}

func (c *checker) handoffdStopSignal() {
	if c.daemon == nil {
		return
	}
	mode := c.Service.value("Service", "KillMode")
	signal, ok := c.daemon.flag("stop-signal")
	if ok && signalName(signal) != "TERM" && (mode == "" || mode == "control-group") {
		c.report(c.Service, c.Service.at("Service", "KillMode", "ExecStart"), fmt.Sprintf("systemd sends SIGTERM to the program, which drains on SIG%s", signalName(signal)), "KillMode=mixed").
			set("Service", "KillMode", "mixed")
	}
}

func (c *checker) handoffdKillMode() {
	if c.daemon == nil {
		return
	}
	reason := map[string]string{
		"process": "generations outlive a handoffd that is killed, and share the sockets with their successors",
		"":        "systemd signals the generations behind handoffd's back",
	}
	mode := c.Service.value("Service", "KillMode")
	if mode == "control-group" {
		mode = ""
	}
	if signal, ok := c.daemon.flag("stop-signal"); mode == "" && ok && signalName(signal) != "TERM" {
		return // a loss: handoffd-stop-signal
	}
	if text := reason[mode]; text != "" {
		c.report(c.Service, c.Service.at("Service", "KillMode", "ExecStart"), text, "KillMode=mixed").set("Service", "KillMode", "mixed")
	}
}

func (c *checker) handoffdKillSignal() {
	if c.daemon == nil {
		return
	}
	for _, name := range []string{"KillSignal", "RestartKillSignal"} {
		o, ok := c.Service.last("Service", name)
		if ok && !isKill(o.Value) && !slices.Contains([]string{"TERM", "15", "INT", "2", "USR1", "10"}, signalName(o.Value)) {
			c.report(c.Service, o, fmt.Sprintf("%s does not make handoffd drain", o.Value), name+"=SIGTERM").set("Service", name, "SIGTERM")
		}
	}
}

func (c *checker) handoffdReloadSignal() {
	if t, _ := serviceType(c.Service); c.daemon == nil || t != "notify-reload" {
		return
	}
	if o, ok := c.Service.last("Service", "ReloadSignal"); ok && !slices.Contains([]string{"HUP", "1", "RTMIN+1", "35"}, signalName(o.Value)) {
		c.report(c.Service, o, fmt.Sprintf("handoffd does not reload on %s", o.Value), "ReloadSignal=SIGHUP").set("Service", "ReloadSignal", "SIGHUP")
	}
}

func (c *checker) handoffdStore() {
	if c.daemon != nil && c.Service.storeMax() == 0 && len(c.accepting()) == 0 {
		c.restart(c.report(c.Service, c.Service.at("Service", "FileDescriptorStoreMax", "ExecStart"), "connections and state that the program leaves for its next generation are lost when the unit restarts", "FileDescriptorStoreMax=65").
			set("Service", "FileDescriptorStoreMax", "65"))
	}
}

func (c *checker) handoffdNoReload() {
	if c.daemon == nil {
		return
	}
	if t, _ := serviceType(c.Service); t != "notify-reload" && len(c.Service.list("Service", "ExecReload")) == 0 {
		cmd, _ := start(c.Service)
		c.report(c.Service, c.daemon.at, "systemctl reload is refused", "ExecReload=handoffd reload").set("Service", "ExecReload", cmd.args[0]+" reload")
	}
}

func (c *checker) handoffdReloadIgnored() {
	if c.daemon == nil || c.already("reload-twice") { // which removes the line
		return
	}
	for _, o := range c.Service.list("Service", "ExecReload") {
		cmd := parseCommand(o.Value)
		if cmd.optional() && cmd.program() == "handoffd" {
			c.report(c.Service, o, "systemctl reload reports success where the new program was undone", "without the dash").
				set("Service", "ExecReload", "").set("Service", "ExecReload", strings.ReplaceAll(cmd.prefix, "-", "")+strings.TrimLeft(o.Value, "@-:+!|"))
		}
	}
}

func (c *checker) handoffdControl() {
	if c.daemon == nil {
		return
	}
	directories := c.Service.names("Service", "RuntimeDirectory")
	path, ok := c.daemon.flag("control")
	switch strict := c.Service.value("Service", "ProtectSystem") == "strict"; {
	case !ok && len(directories) == 0:
		c.report(c.Service, c.daemon.at, "without RuntimeDirectory= or --control there is no control socket, and handoffd reload fails", "RuntimeDirectory="+base(c.Service.Name)).
			set("Service", "RuntimeDirectory", base(c.Service.Name))
	case ok && strict && strings.HasPrefix(path, "/") && !c.writable(path):
		c.report(c.Service, c.daemon.at, fmt.Sprintf("ProtectSystem=strict makes %s read-only to handoffd", filepath.Dir(path)), "RuntimeDirectory=, and no --control").
			set("Service", "RuntimeDirectory", base(c.Service.Name))
	}
}

// writable reports whether ProtectSystem=strict leaves a path writable.
func (c *checker) writable(path string) bool {
	open := []string{"/dev", "/proc", "/sys"}
	for name := range c.Service.names("Service", "RuntimeDirectory") {
		open = append(open, filepath.Join("/run", name), filepath.Join("/var/run", name))
	}
	for name := range c.Service.names("Service", "ReadWritePaths") {
		open = append(open, strings.TrimLeft(name, "-+"))
	}
	if _, private := c.Service.yes("Service", "PrivateTmp"); private {
		open = append(open, "/tmp", "/var/tmp")
	}
	return strings.Contains(path, "%") || slices.ContainsFunc(open, func(dir string) bool {
		return dir == "/" || strings.HasPrefix(path, dir+"/")
	})
}

func (c *checker) handoffdDelegate() {
	if c.daemon == nil || delegates(c.Service) {
		return
	}
	f := c.report(c.Service, c.Service.at("Service", "Delegate", "ExecStart"), "a child that leaves its process group outlives its generation", "Delegate=yes").set("Service", "Delegate", "yes")
	if _, yes := cgroupsProtected(c.Service); yes {
		f.set("Service", "ProtectControlGroups", "no")
	}
}

func (c *checker) handoffdCgroupsProtected() {
	if c.daemon == nil || !delegates(c.Service) {
		return
	}
	if o, yes := cgroupsProtected(c.Service); yes {
		c.report(c.Service, o, fmt.Sprintf("ProtectControlGroups=%s makes Delegate= useless", o.Value), "ProtectControlGroups=no; from v257 on private").
			set("Service", "ProtectControlGroups", "no")
	}
}

func (c *checker) handoffdOOM() {
	if c.daemon == nil {
		return
	}
	if o, _ := c.Service.last("Service", "OOMPolicy"); o.Value == "stop" || o.Value == "kill" {
		c.report(c.Service, o, "the kernel's killing one process ends all generations", "OOMPolicy=continue").set("Service", "OOMPolicy", "continue")
	}
}
