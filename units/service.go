package units

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What more than one unit says.
const (
	whyWants = "Not Requires=: stopping the socket must not take the service down with it."
	whyLimit = "No start limit: when a service hits it (five starts in 10 s, \"systemctl\nrestart\" counted), its socket fails too, and every client is refused.\nRestartSec= keeps a crash loop slow instead."
	whyReady = "READY=1 says when it can answer: \"systemctl restart\" returns only then."
	whyBlock = "systemd sets or clears O_NONBLOCK on the socket at every start, and a second\nservice that clears it would leave Go's Accept stuck in the kernel."
	whyWait  = "Such programs wait in accept(2) itself, and with O_NONBLOCK would not wait."
	whyStore = "Between two generations systemd keeps what the first one left: a few entries,\nwhatever the number of connections in them. 0, the default, keeps nothing."
	whyHup   = "SIGHUP has package handoff call OnReload. systemd doesn't wait for its verdict,\nwhich is in the status: \"systemctl status\" shows it.\ncheck: ignore reload-async because Type=notify-reload, which waits, takes systemd 253"
	whyWaits = "\"systemctl reload\" sends SIGHUP, which has package handoff call OnReload, and\nreturns when all is applied, or is not: the status says which."
	whyKill  = "The program is sent SIGTERM once and drains; what it leaves behind is killed."
	whyFiles = "Each client is a connection. As many may be on their way to the next generation\nat once, too: without privileges that is bounded by the same limit."
	whyAlive = "A program that sends no WATCHDOG=1 for so long is killed, and started anew."

	whyReload   = "Returns when the new generation serves, or was undone: so \"systemctl reload\"\nsays which. It takes as long as it takes; handoffd has the time limits."
	whySignal   = "\"systemctl reload\" sends ReloadSignal=, and returns when handoffd says READY=1.\nNever together with ExecReload=: systemd would reload twice."
	whyReal     = "In place of SIGHUP, which may be lost while handoffd replaces itself."
	whySpeaks   = "Only handoffd speaks for the service; it hears the generations itself."
	whyBoth     = "What generations leave for the next one, and one entry of handoffd's own."
	whyRuntime  = "The control socket and the generations' notification sockets."
	whyDelegate = "Each generation gets a cgroup of its own."
	whyMixed    = "Only handoffd is told to stop, and ends the generations; what is left is killed."
	whyStop     = "In place of SIGTERM, which would not let them drain if it came while handoffd\nreplaces itself (handoffd reexec)."
	whyTerm     = "Not SIGUSR1 as in pairs: when the service is restarted to take this file, the\nsignal goes to the program that runs still without handoffd, and SIGUSR1 means\nsomething else to most. It must not come while handoffd replaces itself (handoffd\nreexec)."
	whyWatched  = "Of handoffd and, each on its own, of the generations: one that falls silent is\nreplaced."
)

// stopTimeout is how long systemd waits for the service to stop.
func (d Description) stopTimeout() time.Duration {
	return d.DrainTimeout + max(d.DrainTimeout/2, 10*time.Second)
}

// startTimeout is how long systemd waits for the service to start, or to reload.
func (d Description) startTimeout() time.Duration {
	if d.Kind.handoffd() {
		return d.ReadyTimeout + d.DrainTimeout + 30*time.Second
	}
	return d.ReadyTimeout
}

// exec is the command that systemd runs.
func (d Description) exec() []string {
	if !d.Kind.handoffd() {
		return d.Command
	}
	words := []string{d.Handoffd, "run"}
	flag := func(name, value, usual string) {
		if value != usual {
			words = append(words, name, value)
		}
	}
	flag("--compat", d.Compat, "")
	flag("--ready", d.Ready, d.usualReady())
	flag("--ready-timeout", short(d.ReadyTimeout), "90s")
	flag("--stop-signal", d.StopSignal, "")
	flag("--pause-workers", short(d.PauseWorkers), "0s")
	flag("--drain-timeout", short(d.DrainTimeout), "60s")
	flag("--store", strconv.Itoa(d.Store), "64")
	return append(append(words, "--"), d.Command...)
}

// spoken writes a duration for people.
func spoken(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + " s"
	}
	return d.String()
}

// short writes a duration as a flag of handoffd takes it.
func short(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return d.String()
}

func (d Description) serviceUnit() *Unit {
	b := newBuilder(d.serviceName())
	b.in("Unit")
	b.add("", "Description", d.Name)
	if d.Kind == KindAccept {
		b.unit.Comment = "One of these runs for each connection to " + d.socketName(d.Sockets[0].Name) + ". A new version of\nthe program serves the next connection; those that are open stay with the old one."
		b.add("What has failed is forgotten, or a thousand failed connections would stay loaded.", "CollectMode", "inactive-or-failed")
		d.accepted(b)
		d.sandbox(b)
		return b.unit
	}
	b.unit.Comment = "The service of " + strings.Join(d.socketFiles(), " and ") + "."
	d.after(b)
	b.in("Service")
	if d.Kind.handoffd() {
		d.handed(b)
	} else {
		d.plain(b)
	}
	d.sandbox(b)
	b.in("Install")
	b.flags("", "Also="+strings.Join(d.socketFiles(), " "), "WantedBy="+d.target())
	return b.unit
}

// socketFiles are the sockets as the service names them. Those of a unit that has its
// sockets already bear its name.
func (d Description) socketFiles() []string {
	if d.template() {
		return []string{d.Name + "%i.socket"}
	}
	var files []string
	for _, name := range d.names() {
		files = append(files, d.socketName(name))
	}
	if len(files) == 0 {
		return []string{d.Name + ".socket"}
	}
	return files
}

// target starts the service at boot, or when its user logs in.
func (d Description) target() string {
	if d.User {
		return "default.target"
	}
	return "multi-user.target"
}

// after ties the service to its sockets.
func (d Description) after(b *builder) {
	sockets := strings.Join(d.socketFiles(), " ")
	b.add(whyWants, "Wants", sockets)
	b.add("", "After", sockets)
	b.add(whyLimit, "StartLimitIntervalSec", "0")
}

// plain is a service that is its program.
func (d Description) plain(b *builder) {
	reloads := d.Kind == KindStore && d.Ready == "notify" // package handoff does
	switch {
	case reloads && d.Systemd >= 253:
		b.add(whyReady+"\n"+whyWaits, "Type", "notify-reload")
	case d.Ready == "notify":
		b.add(whyReady, "Type", "notify")
	default:
		b.add("The program says nothing of when it can answer; its clients wait until then.", "Type", "exec")
	}
	b.add("", "ExecStart", quoteCommand(d.exec()))
	if reloads && d.Systemd < 253 {
		b.add(whyHup, "ExecReload", "/bin/kill -HUP $MAINPID")
	}
	if d.Ready == "notify" || d.Store > 0 {
		b.add("Only the main process may speak for the service.", "NotifyAccess", "main")
	}
	d.sockets(b)
	b.add(whyBlock, "NonBlocking", "yes")
	if d.Store > 0 {
		b.add(whyStore, "FileDescriptorStoreMax", strconv.Itoa(d.Store))
	}
	b.add(whyKill, "KillMode", "mixed")
	b.add("", "TimeoutStartSec", seconds(d.startTimeout()))
	b.add("Longer than the program may take to drain ("+spoken(d.DrainTimeout)+"): it must get its chance.", "TimeoutStopSec", seconds(d.stopTimeout()))
	if d.Watchdog > 0 {
		b.add(whyAlive, "WatchdogSec", seconds(d.Watchdog))
	}
	b.flags("", "Restart=on-failure", "RestartSec=1")
	files := whyFiles
	if d.Store == 0 {
		files = "Each client is a connection."
	}
	b.add(files, "LimitNOFILE", "524288")
}

// sockets names the socket units where there are several: each is loaded then, and
// the service inherits them all, whichever starts it.
func (d Description) sockets(b *builder) {
	if files := d.socketFiles(); len(files) > 1 {
		b.add("All are inherited, whichever of them started the service.", "Sockets", strings.Join(files, " "))
	}
}

// handed is a program under handoffd.
func (d Description) handed(b *builder) {
	if d.Kind == KindHandoffdSignal {
		b.add(whySignal, "Type", "notify-reload")
		b.add(whyReal, "ReloadSignal", "SIGRTMIN+1")
	} else {
		b.add("", "Type", "notify")
	}
	if d.Kind == KindDropIn {
		b.add(d.whyCommand(), "ExecStart", "")
	}
	b.add("", "ExecStart", d.handedCommand())
	reload := whyReload
	if d.Kind == KindDropIn {
		b.add(reload, "ExecReload", "")
		reload = ""
	}
	if d.Kind != KindHandoffdSignal {
		b.add(reload, "ExecReload", quoteCommand([]string{d.Handoffd, "reload"}))
	}
	b.add(whySpeaks, "NotifyAccess", "main")
	d.sockets(b)
	switch {
	case d.Compat != "":
		b.add(whyWait, "NonBlocking", "no")
	case d.Kind != KindDropIn: // whose program is used to what its unit says
		b.add(whyBlock, "NonBlocking", "yes")
	}
	d.keepPaths(b)
	b.add(whyBoth, "FileDescriptorStoreMax", strconv.Itoa(d.Store+1))
	b.add(whyRuntime, "RuntimeDirectory", d.runtimeDirectory())
	if d.socketInRuntime() {
		b.add("A socket is in that folder, which systemd removes with the service otherwise.", "RuntimeDirectoryPreserve", "yes")
	}
	b.add(whyDelegate, "Delegate", "yes")
	b.add(d.whyMode(), "KillMode", "mixed")
	d.killSignal(b)
	b.add("Longer than a generation may take until it is ready (--ready-timeout, "+spoken(d.ReadyTimeout)+"), and\nthe old one to drain: handoffd has the time limits.", "TimeoutStartSec", seconds(d.startTimeout()))
	b.add("Longer than the drain timeout (--drain-timeout, "+spoken(d.DrainTimeout)+"), which must get its chance.", "TimeoutStopSec", seconds(d.stopTimeout()))
	switch {
	case d.Watchdog > 0:
		b.add(whyWatched, "WatchdogSec", seconds(d.Watchdog))
	case d.Ready != "notify" && d.Kind != KindDropIn:
		b.add("Of handoffd alone: generations need not send WATCHDOG=1.", "WatchdogSec", "30")
	}
	if d.Kind == KindDropIn {
		d.restarts(b)
		return
	}
	b.flags("", "Restart=on-failure", "RestartSec=1")
	b.add(whyFiles, "LimitNOFILE", "524288")
}

// keepPaths keeps a program from removing the paths of its sockets: what is mounted
// cannot be removed.
func (d Description) keepPaths(b *builder) {
	if !d.Unlinks {
		return
	}
	why := "The program removes the path of its socket when it ends, and with it every client of\nthe next generation. What is mounted cannot be removed."
	for _, s := range d.Sockets {
		if path, err := s.listen(); err == nil && s.unix() && !strings.HasPrefix(path, "@") {
			b.add(why, "BindPaths", "-"+path)
			why = ""
		}
	}
}

// handedCommand is handoffd's command line. That of a template may name the instance.
func (d Description) handedCommand() string {
	line := quoteCommand(d.exec())
	if d.template() {
		line = strings.NewReplacer("%%i", "%i", "%%I", "%I").Replace(line)
	}
	return line
}

// killSignal is what systemd ends handoffd with.
func (d Description) killSignal(b *builder) {
	if d.Kind != KindDropIn {
		b.add(whyStop, "KillSignal", "SIGUSR1")
		return
	}
	b.add(whyTerm, "KillSignal", "SIGTERM")
	if d.around("RestartKillSignal") != "" {
		b.add("", "RestartKillSignal", "SIGTERM")
	}
}

// socketInRuntime reports whether a socket unit has a path in the service's folder.
func (d Description) socketInRuntime() bool {
	return slices.ContainsFunc(d.Sockets, func(s Socket) bool {
		rest, ok := strings.CutPrefix(path.Clean(s.Address), "/run/")
		for _, prefix := range []string{"/var/run/", "%t/"} {
			if !ok {
				rest, ok = strings.CutPrefix(path.Clean(s.Address), prefix)
			}
		}
		return ok && s.unix() && strings.HasPrefix(rest, d.runtimeDirectory()+"/")
	})
}

func (d Description) runtimeDirectory() string {
	name := strings.ReplaceAll(d.Name, ":", "-") // which would be a link there
	if d.Kind != KindDropIn {
		return name
	}
	if d.template() {
		name += "%i"
	}
	return strings.ReplaceAll(name, "@", "-") + "-handoffd" // beside those of the unit itself
}

// accepted is a program whose standard input and output is one connection.
func (d Description) accepted(b *builder) {
	b.in("Service")
	b.add("", "ExecStart", quoteCommand(d.exec()))
	b.add("The connection is the program's standard input and output; what it says to\nstandard error goes to the journal.", "StandardInput", "socket")
	b.flags("", "StandardOutput=socket", "StandardError=journal")
	b.add("When the host shuts down, a connection gets so long to end.", "TimeoutStopSec", seconds(d.stopTimeout()))
}
