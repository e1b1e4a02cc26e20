// Package check reads a service and its sockets as systemd merges them, and says
// what in them would lose a client, what systemd ignores, and what is unwise.
//
//	pairs, err := check.Load(check.Folders{Dirs: check.SystemDirs}, "app.service")
//	...
//	for _, f := range check.Check(pairs, check.Options{Systemd: 252}) {
//		fmt.Println(f)
//	}
//
// A [Finding] names the file and the line, the reason, the mend and the man page.
// What can be mended by a drop-in carries it: see [DropIns]. The rules are a table,
// [Rules]; each says in its Doc what it looks for and why, and names the threads in
// which others met it.
//
// # What a loss is
//
// A rule of severity [Loss] speaks of what happens to every service: it is started,
// stopped, restarted and reloaded, its process crashes, the machine boots. In one of
// these a client would be refused, cut or left without an answer although the
// program does what it should. The tests of this package show each such loss, and
// its mend, on real systemds. A start may fail as well, if only once: what keeps every
// later client away is a loss then. What takes a flood is [Unwise], and so is what only
// confuses. [Ineffective] is what systemd ignores, or what cannot do
// what it seems to.
//
// The package knows what unit files say, and of programs handoffd's command line, that
// of a shell, and flags such as -drain-timeout. It does not start anything, and changes
// no file.
//
// For a service under handoffd there is no rule about TimeoutStartSec= and
// TimeoutStopSec=: handoffd asks systemd for more time while it starts, reloads and
// stops (EXTEND_TIMEOUT_USEC= of sd_notify(3)), and has time limits of its own.
package check
