package check

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/units"
)

// How a service is started, reloaded and stopped.
var processRules = []Rule{
	{
		ID: "type-simple", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "With Type=simple the service counts as started before its program runs, and with Type=exec before it serves: systemctl restart reports success where the new program fails, and what is ordered after it comes too early.",
		Reason: "clients wait in the queue all the same; only systemctl is wrong",
		check:  (*checker).typeSimple,
	},
	{
		ID: "sockets-to-child", Severity: Loss, Man: "sd_listen_fds(3)",
		Doc:    "LISTEN_PID names the main process. Where that is a wrapper such as a shell, su, sudo, timeout, flock, script, setsid, tini or npm, and the program its child, the program takes the sockets for another one's, and inherits nothing. env, nice, nohup, setpriv, chrt and others become the program. Of a list of commands bash execs the last one, and dash, which is /bin/sh of Debian, does not.",
		Reason: "the program has no socket, so no client is answered",
		check:  (*checker).socketsToChild,
	},
	{
		ID: "notify-child", Severity: Loss, Man: "systemd.service(5)", Issues: []int{24516},
		Doc:    "With NotifyAccess=main, which Type=notify implies, only the main process may say READY=1. Where that is a shell or su, and the program its child, the service never gets ready, and is killed after TimeoutStartSec=.",
		Reason: "the start fails, and connections are cut when systemd gives up",
		check:  (*checker).notifyChild,
	},
	{
		ID: "notify-access-none", Severity: Ineffective, Man: "systemd.service(5)",
		Doc:    "Type=notify, WatchdogSec= and FileDescriptorStoreMax= imply NotifyAccess=main, and override NotifyAccess=none.",
		Reason: "the line does nothing",
		check:  (*checker).notifyAccessNone,
	},
	{
		ID: "notify-no-unix", Severity: Loss, Man: "systemd.exec(5)", Issues: []int{39950},
		Doc:    "A service talks to systemd over an AF_UNIX socket. Without it in RestrictAddressFamilies= a Type=notify service never gets ready, and is killed after TimeoutStartSec=. The sockets that it inherits are not restricted.",
		Reason: "the start fails, and connections are cut when systemd gives up",
		check:  (*checker).notifyNoUnix,
	},
	{
		ID: "kill-mode-none", Severity: Unwise, Man: "systemd.kill(5)",
		Doc:    "With KillMode=none nobody tells the program to stop: after a restart old and new take connections from one queue, and the old one is never heard of again.",
		Reason: "clients are served, by whichever of the two programs",
		check:  (*checker).killModeNone,
	},
	{
		ID: "kill-signal", Severity: Loss, Man: "systemd.kill(5)",
		Doc:    "A program that is stopped by SIGKILL finishes nothing: each restart cuts what is under way.",
		Reason: "requests under way are cut at each stop",
		check:  (*checker).killSignal,
	},
	{
		ID: "exec-stop-kills", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "An ExecStop= that sends SIGKILL leaves the program no time: each restart cuts what is under way.",
		Reason: "requests under way are cut at each stop",
		check:  (*checker).execStopKills,
	},
	{
		ID: "exec-stop-signals", Severity: Unwise, Man: "systemd.service(5)",
		Doc:    "An ExecStop= that only sends a signal returns at once, and systemd then sends KillSignal= as well. Many programs take a second signal for an order to stop waiting.",
		Reason: "most programs bear it",
		check:  (*checker).execStopSignals,
	},
	{
		ID: "reload-async", Severity: Unwise, Man: "systemd.service(5)", Issues: []int{6162},
		Doc:    "An ExecReload= that only sends a signal has done its work before the program begins: systemctl reload reports success whatever comes of it.",
		Reason: "clients are served; only systemctl reload is wrong",
		check:  (*checker).reloadAsync,
	},
	{
		ID: "reload-twice", Severity: Unwise, Man: "systemd.service(5)", Issues: []int{37515},
		Doc:    "With Type=notify-reload systemd sends ReloadSignal= and runs ExecReload= as well: v253 to v258 both at once, later ones one after the other. Each is a reload of its own.",
		Reason: "clients are served; the work is done twice",
		check:  (*checker).reloadTwice,
	},
	{
		ID: "reload-signal-ignored", Severity: Ineffective, Man: "systemd.service(5)",
		Doc:    "ReloadSignal= is for Type=notify-reload alone.",
		Reason: "the line does nothing",
		check:  (*checker).reloadSignalIgnored,
	},
	{
		ID: "stop-timeout", Severity: Loss, Man: "systemd.service(5)",
		Doc:    "A program that is given more time to drain, on its own command line, than TimeoutStopSec= leaves it is killed before it is done.",
		Reason: "requests that take longer than systemd waits are cut",
		check:  (*checker).stopTimeout,
	},
}

func (c *checker) typeSimple() {
	service := c.service()
	if service == nil || len(c.listening()) == 0 {
		return
	}
	if t, at := serviceType(service); t == "simple" || t == "exec" || t == "idle" {
		mend := "Type=notify, if the program says READY=1, as sd_notify(3) has it"
		if c.daemon != nil {
			mend = "Type=notify: handoffd says READY=1"
		}
		f := c.report(service, at, fmt.Sprintf("with Type=%s systemctl restart does not wait until the program serves", t), mend)
		if c.daemon != nil {
			f.set("Service", "Type", "notify")
		}
	}
}

func (c *checker) socketsToChild() {
	service := c.service()
	if service == nil || len(c.listening()) == 0 || service.value("Service", "StandardInput") == "socket" {
		return
	}
	cmd, at := start(service)
	if reason := forks(cmd); reason != "" {
		c.report(service, at, reason+", and it inherits no sockets: LISTEN_PID names its parent", mendChild(cmd))
	}
}

func (c *checker) notifyChild() {
	service := c.service()
	if service == nil || !notifies(service) || service.value("Service", "NotifyAccess") == "all" || c.already("sockets-to-child") {
		return
	}
	cmd, at := start(service)
	if reason := forks(cmd); reason != "" {
		c.report(service, at, reason+": its READY=1 is not heard, and the start times out", mendChild(cmd)+"; or NotifyAccess=all").
			set("Service", "NotifyAccess", "all")
	}
}

// mendChild says how the program becomes the main process.
func mendChild(cmd command) string {
	if slices.Contains(shells, cmd.program()) {
		return "exec the program as the last thing that the shell does"
	}
	return "run the program itself; User=, RuntimeMaxSec=, PrivateMounts= and the like do what wrappers are for"
}

var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'|[<>]&|&>`)

// simplify drops from a script what looks as if it separated commands, and does
// not: strings in quotes, and redirections.
func simplify(script string) string { return quoted.ReplaceAllString(script, "") }

func (c *checker) notifyAccessNone() {
	service := c.service()
	if o, _ := service.last("Service", "NotifyAccess"); o.Value == "none" && (notifies(service) ||
		service.span(0, "Service", "WatchdogSec") > 0 || service.count(0, "Service", "FileDescriptorStoreMax") > 0) {
		c.report(service, o, "Type=notify, WatchdogSec= or FileDescriptorStoreMax= makes it NotifyAccess=main", "NotifyAccess=main").
			set("Service", "NotifyAccess", "main")
	}
}

// denied reports whether RestrictAddressFamilies= keeps a service from a family.
func denied(service *Unit, family string) (at units.Option, yes bool) {
	var allow, all []string
	deny := false
	for _, o := range service.list("Service", "RestrictAddressFamilies") {
		at = o
		list, negated := strings.CutPrefix(o.Value, "~")
		if len(all) == 0 { // the first one says what the list means
			deny = negated
		}
		for _, f := range words(list) {
			all = append(all, f)
			if negated == deny && f != "none" {
				allow = append(allow, f)
			} else {
				allow = slices.DeleteFunc(allow, func(s string) bool { return s == f })
			}
		}
	}
	return at, len(all) > 0 && slices.Contains(allow, family) == deny
}

func (c *checker) notifyNoUnix() {
	service := c.service()
	if service == nil || !notifies(service) {
		return
	}
	if at, yes := denied(service, "AF_UNIX"); yes {
		c.report(service, at, "the program cannot open the socket over which it says READY=1, and the start times out", "add AF_UNIX").
			set("Service", "RestrictAddressFamilies", "AF_UNIX")
	}
}

func (c *checker) killModeNone() {
	service := c.service()
	if o, _ := service.last("Service", "KillMode"); o.Value == "none" && len(c.sockets()) > 0 {
		c.report(service, o, "nobody tells the program to stop, and after a restart old and new share the queue", "KillMode=mixed").
			set("Service", "KillMode", "mixed")
	}
}

// isKill reports whether a signal, as a unit or kill(1) has it, is SIGKILL.
func isKill(signal string) bool {
	return slices.Contains([]string{"9", "KILL"}, strings.TrimPrefix(strings.ToUpper(signal), "SIG"))
}

func (c *checker) killSignal() {
	service := c.service()
	if service.value("Service", "KillMode") == "none" { // nor any other signal
		return
	}
	for _, name := range []string{"KillSignal", "RestartKillSignal"} {
		if o, ok := service.last("Service", name); ok && isKill(o.Value) && len(c.sockets()) > 0 {
			c.report(service, o, "the program is killed in the middle of what it does", name+"=SIGTERM").set("Service", name, "SIGTERM")
		}
	}
}

// signals returns the signal that a command only sends: "" is the default, TERM.
func (c command) signals() (signal string, yes bool) {
	switch c.program() {
	case "kill", "pkill", "killall", "skill":
	default:
		return "", false
	}
	for i, arg := range c.args[1:] {
		name, dashed := strings.CutPrefix(arg, "-")
		switch {
		case !dashed || name == "":
		case name == "s" || name == "-signal":
			if i+2 < len(c.args) {
				return c.args[i+2], true
			}
		case strings.HasPrefix(name, "-signal="):
			return strings.TrimPrefix(name, "-signal="), true
		case isSignal(name):
			return name, true
		}
	}
	return "", true
}

// isSignal reports whether a flag of kill(1) is a signal rather than an option.
func isSignal(name string) bool {
	name = strings.TrimPrefix(strings.ToUpper(name), "SIG")
	return name[:1] >= "0" && name[:1] <= "9" ||
		slices.Contains([]string{"HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "WINCH", "ABRT", "CONT", "STOP"}, name)
}

func (c *checker) execStopKills() {
	service := c.service()
	for _, o := range service.list("Service", "ExecStop") {
		if signal, yes := parseCommand(o.Value).signals(); yes && isKill(signal) {
			c.report(service, o, "the program is killed in the middle of what it does", "remove it: systemd sends SIGTERM, and SIGKILL after TimeoutStopSec=").
				set("Service", "ExecStop", "")
		}
	}
}

func (c *checker) execStopSignals() {
	service := c.service()
	for _, o := range service.list("Service", "ExecStop") {
		signal, yes := parseCommand(o.Value).signals()
		if yes && !isKill(signal) && strings.Contains(o.Value, "MAINPID") && len(c.sockets()) > 0 {
			if signal = strings.TrimPrefix(strings.ToUpper(signal), "SIG"); signal == "" {
				signal = "TERM"
			}
			reason := fmt.Sprintf("the program gets SIG%s, and at once KillSignal= as well", signal)
			if c.daemon != nil { // which drains at a few signals only
				c.report(service, o, reason, "remove it: systemd sends KillSignal=").set("Service", "ExecStop", "")
				continue
			}
			c.report(service, o, reason, "KillSignal=SIG"+signal+", without ExecStop=").
				set("Service", "ExecStop", "").set("Service", "KillSignal", "SIG"+signal)
		}
	}
}

func (c *checker) reloadAsync() {
	service := c.service()
	if service == nil || c.daemon == nil && !notifies(service) {
		return
	}
	for _, o := range service.list("Service", "ExecReload") {
		if _, yes := parseCommand(o.Value).signals(); yes {
			mend := "a command that waits; or from v253 on Type=notify-reload, if the program says RELOADING=1 and READY=1, as sd_notify(3) has it"
			if c.daemon != nil {
				mend = "ExecReload=handoffd reload"
			}
			c.report(service, o, "systemctl reload reports success before the program has begun", mend)
		}
	}
}

func (c *checker) reloadTwice() {
	service := c.service()
	if t, _ := serviceType(service); t != "notify-reload" {
		return
	}
	if all := service.list("Service", "ExecReload"); len(all) > 0 {
		c.report(service, all[0], "systemctl reload sends ReloadSignal= and runs this, too", "one of the two: without ExecReload=, or with Type=notify").
			set("Service", "ExecReload", "")
	}
}

func (c *checker) reloadSignalIgnored() {
	service := c.service()
	if t, _ := serviceType(service); t != "notify-reload" {
		if o, ok := service.last("Service", "ReloadSignal"); ok {
			c.report(service, o, "without Type=notify-reload nobody sends the signal", "Type=notify-reload, or remove the line")
		}
	}
}

// drainFlags are what programs call the time that they take for their last
// requests.
var drainFlags = []string{"drain-timeout", "graceful-timeout", "shutdown-timeout", "grace-timeout"}

// gracefulDefaults is how long well-known servers wait for their last requests by
// themselves.
var gracefulDefaults = map[string]time.Duration{"gunicorn": 30 * time.Second, "gunicorn3": 30 * time.Second}

func (c *checker) stopTimeout() {
	service := c.service()
	if service == nil || c.daemon != nil {
		return
	}
	cmd, at := start(service)
	if given, ok := gracefulDefaults[cmd.program()]; ok && service.stopTimeout() < given {
		if _, ok := cmd.flag("graceful-timeout"); !ok {
			c.report(service, service.at("Service", "TimeoutStopSec", "TimeoutSec", "ExecStart"), fmt.Sprintf("systemd kills the program after %v, and where nothing else is said %s takes %v to drain", service.stopTimeout(), cmd.program(), given),
				fmt.Sprintf("TimeoutStopSec=%d", int(given.Seconds())+10)).set("Service", "TimeoutStopSec", fmt.Sprint(int(given.Seconds())+10))
		}
	}
	for _, name := range drainFlags {
		value, ok := cmd.flag(name)
		drain, readable := parseSpan(value)
		stop := service.stopTimeout()
		if ok && readable && stop <= drain {
			if o, ok := service.last("Service", "TimeoutStopSec", "TimeoutSec"); ok {
				at = o
			}
			c.report(service, at, fmt.Sprintf("systemd kills the program after %v, and it may take %v to drain", stop, drain),
				fmt.Sprintf("TimeoutStopSec=%d", int(drain.Seconds())+10)).set("Service", "TimeoutStopSec", fmt.Sprint(int(drain.Seconds())+10))
		}
	}
}
