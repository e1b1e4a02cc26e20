package check

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Services whose main process is handoffd.
var handoffdRules = []Rule{
	{
		ID: "handoffd-type", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "handoffd does not fork: with Type=forking systemd waits in vain for its end, and kills it after TimeoutStartSec=.",
		Reason: "systemd kills the service when the start takes too long",
		check:  func(c *checker) { c.handoffdType("forking", "systemd waits for handoffd to fork, and then kills it") },
	},
	{
		ID: "handoffd-oneshot", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "handoffd does not end: with Type=oneshot the service never counts as started, and what waits for it waits for ever.",
		Reason: "clients are served; what waits for the service is not",
		check:  func(c *checker) { c.handoffdType("oneshot", "the service never counts as started") },
	},
	{
		ID: "handoffd-stop-signal", Severity: Loss, Man: "systemd.kill(5)",
		Doc:    "With KillMode=control-group, the default, systemd sends SIGTERM to the generations itself. A program that drains on another signal, which --stop-signal names, ends at once.",
		Reason: "requests under way are cut at each stop",
		check:  (*checker).handoffdStopSignal,
	},
	{
		ID: "handoffd-kill-mode", Severity: Unwise, Man: "systemd.kill(5)",
		Doc:    "KillMode=mixed leaves it to handoffd to stop the generations, and kills what is left. control-group signals each of their processes twice, process and none leave generations behind that nobody supervises.",
		Reason: "most programs bear it",
		check:  (*checker).handoffdKillMode,
	},
	{
		ID: "handoffd-kill-signal", Severity: Loss, Man: "handoffd(8)",
		Doc:    "handoffd stops on SIGTERM, SIGINT and SIGUSR1. On another KillSignal= it ends at once, or does something else until it is killed: either way the generations cannot drain.",
		Reason: "requests under way are cut at each stop",
		check:  (*checker).handoffdKillSignal,
	},
	{
		ID: "handoffd-reload-signal", Severity: Ineffective, Man: "handoffd(8)",
		Doc:    "handoffd reloads on SIGHUP and on SIGRTMIN+1. On any other ReloadSignal= it does something else, or nothing, and systemctl reload waits in vain.",
		Reason: "a reload does nothing",
		check:  (*checker).handoffdReloadSignal,
	},
	{
		ID: "handoffd-store", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "Without FileDescriptorStoreMax= systemd keeps nothing for handoffd: what generations leave for the next one, connections and state, is lost when the unit restarts.",
		Reason: "connections that were kept over a restart are cut",
		check:  (*checker).handoffdStore,
	},
	{
		ID: "handoffd-no-reload", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "Without ExecReload=handoffd reload, or Type=notify-reload, systemctl reload is refused, and only a restart replaces the program.",
		Reason: "clients are served; there is no reload",
		check:  (*checker).handoffdNoReload,
	},
	{
		ID: "handoffd-reload-ignored", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "With a dash in front of it a failed ExecReload= counts as success: systemctl reload does not say that the new program was undone.",
		Reason: "clients are served; only systemctl reload is wrong",
		check:  (*checker).handoffdReloadIgnored,
	},
	{
		ID: "handoffd-control", Severity: Unwise, Man: "handoffd(8)",
		Doc:    "The control socket, over which handoffd reload and handoffd status ask, is in RuntimeDirectory=, or where --control says. Where neither is, or the place is read-only to the service (ProtectSystem=strict), there is none.",
		Reason: "clients are served; handoffd cannot be asked",
		check:  (*checker).handoffdControl,
	},
	{
		ID: "handoffd-delegate", Severity: Unwise, Man: "systemd.resource-control(5)",
		Doc:    "Without Delegate=yes generations are process groups: a child that leaves its group outlives its generation.",
		Reason: "clients are served; children may be left behind",
		check:  (*checker).handoffdDelegate,
	},
	{
		ID: "handoffd-cgroups-protected", Severity: Ineffective, Man: "systemd.exec(5)",
		Doc:    "ProtectControlGroups=yes or strict makes the control groups read-only, and Delegate=yes useless. From v257 on private works.",
		Reason: "Delegate= does nothing",
		check:  (*checker).handoffdCgroupsProtected,
	},
	{
		ID: "handoffd-oom", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "With OOMPolicy=stop or kill the kernel's killing one process, say of a generation that is only starting, ends the whole service. Delegate=yes makes continue the default, from v253 on.",
		Reason: "it takes a machine without memory",
		check:  (*checker).handoffdOOM,
	},
}

func (c *checker) handoffdType(unfit, reason string) {
	if c.daemon == nil {
		return
	}
	if t, at := serviceType(c.Service); t == unfit {
		c.report(c.Service, at, reason, "Type=notify").set("Service", "Type", "notify")
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
