package check

import (
	"slices"
	"strings"
)

// A wrapper is a program that runs another one, which its arguments name. Where it runs it
// as a child, LISTEN_PID names the wrapper, and the program inherits nothing.
type wrapper struct {
	child  bool     // the program is a child of it
	execs  []string // flags with which it is not
	forks  []string // flags with which it is, else not
	valued string   // the flags of one letter that have a value in the next word
	words  int      // words of its own before the program
}

// wrappers are those that are known. TestWrappers proves each that Debian packages; of npm,
// npx, yarn, pnpm, docker and uv, which are too large for that or not there, it is what
// their documentation says.
var wrappers = map[string]wrapper{
	"env": {valued: "uCS"}, "nice": {valued: "n"}, "nohup": {}, "setpriv": {}, "chrt": {valued: "TPD", words: 1}, "ionice": {valued: "cnpPu"}, "taskset": {words: 1}, "prlimit": {},
	"stdbuf": {valued: "ioe"}, "chroot": {words: 1}, "setarch": {}, "linux32": {}, "linux64": {}, "numactl": {valued: "CNmipP"}, "systemd-cat": {valued: "tp"}, "choom": {valued: "n"},
	"nsenter": {valued: "tSGwW", forks: []string{"-p", "--pid"}}, "unshare": {valued: "SGRw", forks: []string{"-f", "--fork"}},
	"gosu": {words: 1}, "setuidgid": {words: 1}, "envdir": {words: 1}, "envuidgid": {words: 1}, "softlimit": {valued: "acdfmorstlp"}, "catatonit": {},

	"su": {child: true}, "runuser": {child: true, valued: "ugG"}, "doas": {child: true, valued: "uC"}, "sudo": {child: true, valued: "ugCDhpRrTtU"}, "timeout": {child: true, valued: "ks", words: 1}, "script": {child: true},
	"flock": {child: true, valued: "wE", words: 1, execs: []string{"-F", "--no-fork"}}, "setsid": {child: true}, "tini": {child: true, valued: "pe"}, "tini-static": {child: true, valued: "pe"},
	"dumb-init": {child: true, valued: "r"}, "bwrap": {child: true}, "strace": {child: true, valued: "eopsPaESbIuU", execs: []string{"-D", "--daemonize", "-DD", "-DDD"}},
	"dbus-run-session": {child: true}, "systemd-inhibit": {child: true}, "time": {child: true}, "watch": {child: true},
	"npm": {child: true}, "npx": {child: true}, "yarn": {child: true}, "yarnpkg": {child: true}, "pnpm": {child: true}, "docker": {child: true}, "uv": {child: true},
}

// read parts the arguments of a wrapper: its own flags, and the command that it runs.
func (w wrapper) read(args []string) (flags []string, inner command) {
	rest, words := args[1:], w.words
	for len(rest) > 0 {
		arg := rest[0]
		switch {
		case arg == "--":
			words = min(words, 1) // those that it has come behind, too
		case strings.HasPrefix(arg, "-") && arg != "-":
			flags = append(flags, arg)
			if len(arg) == 2 && strings.Contains(w.valued, arg[1:]) && len(rest) > 1 {
				rest = rest[1:]
			}
		case assignment(arg):
		case words > 0:
			words--
		default:
			return flags, command{args: rest}
		}
		rest = rest[1:]
	}
	return flags, command{}
}

// hasFlag reports whether one of the flags is given. Those of one letter may stand together.
func hasFlag(given, wanted []string) bool {
	return slices.ContainsFunc(given, func(arg string) bool {
		name, _, _ := strings.Cut(arg, "=")
		return slices.ContainsFunc(wanted, func(flag string) bool {
			return name == flag || len(flag) == 2 && !strings.HasPrefix(arg, "--") && strings.Contains(arg, flag[1:])
		})
	})
}

// forks says why the program is a child of the main process, where that is certain.
func forks(cmd command) string {
	for range 8 { // wrappers in wrappers
		if reason := shellForks(cmd); reason != "" {
			return reason
		}
		w, ok := wrappers[cmd.program()]
		if !ok {
			return ""
		}
		flags, inner := w.read(cmd.args)
		if w.child && !hasFlag(flags, w.execs) || hasFlag(flags, w.forks) {
			return cmd.program() + " runs the program as its child"
		}
		cmd = inner
	}
	return ""
}

// shells are those of which it is known what they exec.
var shells = []string{"sh", "dash", "bash"}

// shellForks says why the program is a child of a shell.
func shellForks(cmd command) string {
	if !slices.Contains(shells, cmd.program()) || len(cmd.args) < 3 || cmd.args[1] != "-c" {
		return ""
	}
	script := simplify(cmd.args[2])
	if strings.Contains(script, "exec ") || strings.ContainsAny(script, "$`(){}") {
		return ""
	}
	shell := "the shell"
	if !strings.Contains(strings.ReplaceAll(script, "||", ""), "|") { // bash execs the last command of a list
		switch cmd.program() {
		case "bash":
			return ""
		case "sh":
			shell = "sh, where it is dash as on Debian,"
		}
	}
	if strings.ContainsAny(strings.TrimRight(script, "; \n"), ";&|\n") {
		return shell + " runs the program as its child"
	}
	return ""
}
