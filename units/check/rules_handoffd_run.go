package check

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// handoffd's own command line.
var handoffdRunRules = []Rule{
	{
		ID: "handoffd-command", Severity: Loss, Man: "handoffd(8)",
		Doc:    "A service runs its program by handoffd run [FLAGS] -- PROGRAM. Without the word run, or without a program, handoffd says how it is used, and ends.",
		Reason: "handoffd does not start, so no client is answered",
		check:  (*checker).handoffdCommand,
	},
	{
		ID: "handoffd-flags", Severity: Loss, Man: "handoffd(8)",
		Doc:    "At a flag that handoffd run does not know, or a value that it cannot read, it says so, and ends. The program's own flags belong behind the two dashes.",
		Reason: "handoffd does not start, so no client is answered",
		check:  (*checker).handoffdFlags,
	},
}

// runFlags are the flags of handoffd run, and what each takes: nil for none. A test of
// handoffd compares them with its own.
var runFlags = map[string]func(string) bool{
	"listen": namedAddress, "no-sockets": nil, "ready": readyMode, "notify-access": oneOf("main", "all"), "environment-file": anything, "envdir": anything,
	"compat": oneOf("server-starter", "einhorn"), "ready-timeout": goDuration, "probation": goDuration, "hold-timeout": goDuration, "release-timeout": goDuration,
	"handover-timeout": goDuration, "drain-timeout": goDuration, "stop-signal": anything, "pause-workers": goDuration, "max-generations": integer(1, 1<<31), "watchdog": goDuration,
	"accept-later": nil, "accept-timeout": goDuration, "probe": anything, "probe-times": integer(1, 1<<31), "probe-timeout": goDuration, "give-up": goDuration,
	"store": integer(0, 1<<31), "control": anything, "pid-file": anything, "status-file": anything, "debug": nil, "help": nil, "h": nil,
}

// RunFlags names the flags of handoffd run that the rules know.
func RunFlags() (names []string) {
	for name := range runFlags {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func goDuration(s string) bool {
	d, err := time.ParseDuration(s)
	return err == nil && d >= 0
}

func readyMode(s string) bool {
	alive, ok := strings.CutPrefix(s, "alive:")
	return s == "notify" || s == "exec" || s == "accept" || ok && goDuration(alive)
}

// namedAddress takes NAME=ADDRESS.
func namedAddress(s string) bool {
	name, address, ok := strings.Cut(s, "=")
	return ok && name != "" && address != ""
}

func (c *checker) handoffdCommand() {
	service := c.service()
	cmd, at := start(service)
	if service == nil || cmd.program() != "handoffd" {
		return
	}
	const mend = "handoffd run -- PROGRAM"
	if c.daemon == nil {
		c.report(service, at, "handoffd is not told to run anything, and ends", mend)
		return
	}
	end := slices.Index(cmd.args, "--")
	if end == len(cmd.args)-1 || end < 0 && len(c.daemon.rest()) == 0 {
		c.report(service, at, "handoffd is told of no program to run, and ends", mend)
	}
}

// rest are the words of handoffd run that are no flags and no values of flags: before the
// two dashes the program, where those are forgotten.
func (d *daemon) rest() (words []string) {
	d.each(func(string, string, bool, bool) {}, func(word string) { words = append(words, word) })
	return words
}

// each calls flag for each flag before the two dashes, with its value, and whether it has
// one and is known; and word for each word that is none.
func (d *daemon) each(flag func(name, value string, has, known bool), word func(string)) {
	for args := d.args[min(2, len(d.args)):]; len(args) > 0; args = args[1:] {
		arg := args[0]
		dashes := len(arg) - len(strings.TrimLeft(arg, "-"))
		if dashes == 0 || arg == "-" {
			word(arg)
			continue
		}
		name, value, has := strings.Cut(arg[dashes:], "=")
		good, known := runFlags[name]
		if known && good != nil && !has && len(args) > 1 {
			value, has = args[1], true
			args = args[1:]
		}
		flag(name, value, has, known)
	}
}

func (c *checker) handoffdFlags() {
	if c.daemon == nil || strings.ContainsAny(c.daemon.at.Value, "$%") { // known once it is started
		return
	}
	c.daemon.each(func(name, value string, has, known bool) {
		switch good := runFlags[name]; {
		case !known:
			c.report(c.Service, c.daemon.at, fmt.Sprintf("handoffd run has no flag --%s, and ends", name), "see handoffd run --help; the program's own flags belong behind --")
		case good != nil && (!has || !good(value)):
			c.report(c.Service, c.daemon.at, fmt.Sprintf("handoffd run cannot read --%s %s, and ends", name, value), "see handoffd run --help")
		}
	}, func(string) {})
}
