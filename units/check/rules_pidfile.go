package check

import (
	"fmt"
	"slices"
	"strings"
)

// PIDFile= is read when the main process exits, and after each ExecReload=, for every
// Type=: it says which process is the main one then.
var pidFileRules = []Rule{
	{
		ID: "credentials-stale", Severity: Unwise, Man: "systemd.exec(5)",
		Doc:    "A reload does not read LoadCredential= anew: the program, or a new generation of it, goes on with what was there at the start. From v260 on RefreshOnReload=credentials has systemd read it; before, only a restart does.",
		Reason: "clients are served, with an old certificate or key",
		check:  (*checker).credentialsStale,
	},
	{
		ID: "pid-file-missing", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "Some programs replace themselves on a signal: the new one is their child, and they exit when it serves. systemd then takes the service for ended, and kills the new one, unless PIDFile= names it. That holds of Type=simple, exec and notify too.",
		Reason: "connections of the new program are cut, as soon as the old one has gone",
		check:  (*checker).pidFileMissing,
	},
	{
		ID: "handoffd-pid-file", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "After ExecReload= systemd reads PIDFile=, and takes the process that it names for the main one. Under handoffd that is a generation: handoffd's own messages are not heard any more, WATCHDOG=1 among them, and systemd kills the generation, or handoffd when that generation ends.",
		Reason: "generations are killed with the requests that they answer",
		check:  (*checker).handoffdPIDFile,
	},
}

// replacing are the programs that replace themselves, and the signals on which they do.
var replacing = map[string][]string{
	"gunicorn": {"USR2"}, "gunicorn3": {"USR2"}, "unicorn": {"USR2"}, "unicorn_rails": {"USR2"}, "rainbows": {"USR2"},
	"nginx": {"USR2"}, "openresty": {"USR2"}, "tengine": {"USR2"},
}

// replacer returns the program of a command that is known to replace itself: its own, or
// that of an interpreter or wrapper, such as bundle exec unicorn.
func (c command) replacer() string {
	for _, arg := range c.args[:min(len(c.args), 5)] {
		name := arg[strings.LastIndexByte(arg, '/')+1:]
		if replacing[name] != nil {
			return name
		}
	}
	return ""
}

func (c *checker) pidFileMissing() {
	service := c.service()
	if service == nil || c.daemon != nil || len(c.sockets()) == 0 && service.value("Service", "PIDFile") != "" {
		return
	}
	if t, _ := serviceType(service); t == "oneshot" || service.value("Service", "PIDFile") != "" {
		return
	}
	cmd, _ := start(service)
	program := cmd.replacer()
	for _, o := range service.list("Service", "ExecReload") {
		signal, yes := parseCommand(o.Value).signals()
		if yes && program != "" && slices.Contains(replacing[program], signalName(signal)) {
			c.report(service, o, fmt.Sprintf("%s replaces itself on SIG%s, and when the old one exits systemd kills the new one", program, signalName(signal)),
				"PIDFile= with the file that the program writes its PID to")
		}
	}
}

func (c *checker) handoffdPIDFile() {
	if c.daemon == nil || len(c.Service.list("Service", "ExecReload")) == 0 {
		return
	}
	if o, ok := c.Service.last("Service", "PIDFile"); ok {
		c.report(c.Service, o, "after a reload systemd takes a generation for the main process, and hears handoffd no more", "PIDFile= empty").
			set("Service", "PIDFile", "")
	}
}

func (c *checker) credentialsStale() {
	service := c.service()
	t, _ := serviceType(service)
	loaded := service.list("Service", "LoadCredential", "LoadCredentialEncrypted")
	if len(loaded) == 0 || t != "notify-reload" && len(service.list("Service", "ExecReload")) == 0 {
		return
	}
	refresh := service.value("Service", "RefreshOnReload")
	if on, ok := parseBool(refresh); on || !ok && strings.Contains(refresh, "credentials") && !strings.HasPrefix(refresh, "~") {
		return
	}
	const reason = "a reload goes on with the credentials of the start"
	if c.Systemd < 260 {
		c.report(service, loaded[0], reason, "restart the service when they change; from v260 on RefreshOnReload=credentials")
		return
	}
	c.report(service, loaded[0], reason, "RefreshOnReload=credentials").set("Service", "RefreshOnReload", "credentials")
}
