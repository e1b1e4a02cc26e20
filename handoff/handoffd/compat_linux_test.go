package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/units/poll"
)

// environs is a program that writes its environment to $OUT and its number.
var environs = []string{"--", "/bin/sh", "-c", `env >"$OUT.new" && mv "$OUT.new" "$OUT.$HANDOFF_GENERATION" && exec sleep 600`}

// variables returns those of a generation of environs, once it has written them.
func variables(t *testing.T, out string, generation int) []string {
	t.Helper()
	path := fmt.Sprintf("%s.%d", out, generation)
	poll.Until(t, path, func() bool { _, err := os.Stat(path); return err == nil })
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func expectVariables(t *testing.T, got []string, want ...string) {
	t.Helper()
	for _, v := range want {
		if !slices.Contains(got, v) {
			t.Errorf("no %q among %q", v, got)
		}
	}
}

// TestServerStarter: a program of start_server finds its sockets and its number, and
// who looks after it finds the files.
func TestServerStarter(t *testing.T) {
	dir := t.TempDir()
	out, envdir := filepath.Join(dir, "out"), filepath.Join(dir, "env")
	pidPath, statusPath := filepath.Join(dir, "pid"), filepath.Join(dir, "status")
	variable := func(value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(envdir, "COLOUR"), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(envdir, 0o700); err != nil {
		t.Fatal(err)
	}
	variable("red")
	t.Setenv("OUT", out)
	flags := []string{"--compat", "server-starter", "--ready", "alive:50ms", "--listen", "admin=127.0.0.1:0",
		"--envdir", envdir, "--pid-file", pidPath, "--status-file", statusPath}
	d := standalone(t, append(flags, environs...)...)
	expectFile := func(path, want string) {
		t.Helper()
		poll.Until(t, path+" with "+want, func() bool { text, err := os.ReadFile(path); return err == nil && string(text) == want })
	}

	first := d.status().Generations[0].PID
	ports := slices.DeleteFunc(variables(t, out, 1), func(v string) bool { return !strings.HasPrefix(v, "SERVER_STARTER_PORT=") })
	if len(ports) != 1 || !strings.HasPrefix(ports[0], "SERVER_STARTER_PORT=127.0.0.1:") && !strings.HasPrefix(ports[0], "SERVER_STARTER_PORT="+d.socket) {
		t.Errorf("the program finds %q", ports)
	}
	for i, port := range strings.Split(strings.TrimPrefix(ports[0], "SERVER_STARTER_PORT="), ";") {
		if _, fd, _ := strings.Cut(port, "="); fd != fmt.Sprint(3+i) {
			t.Errorf("socket %d is %q", i, port)
		}
		if target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", first, 3+i)); err != nil || !strings.HasPrefix(target, "socket:") {
			t.Errorf("%s: descriptor %d of the program is %q, %v", port, 3+i, target, err)
		}
	}
	if flags := descriptorFlags(t, first, 3); flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the socket has the flags %o", flags)
	}
	expectVariables(t, variables(t, out, 1), "SERVER_STARTER_GENERATION=1", "COLOUR=red")
	expectFile(pidPath, fmt.Sprintln(d.cmd.Process.Pid))
	expectFile(statusPath, fmt.Sprintf("1:%d\n", first))

	// Another handoffd leaves the file as it is, and says why it does not start.
	other := command(t, append([]string{"run", "--listen", "http=127.0.0.1:0", "--pid-file", pidPath}, environs...)...)
	if text, err := other.CombinedOutput(); err == nil || !strings.Contains(string(text), pidPath+": another process holds it") {
		t.Errorf("a second handoffd: %v, %s", err, text)
	}

	variable("blue")
	if out, code := verb(t, "reload", "--control", d.control); code != 0 {
		t.Fatalf("reload exits with %d: %s", code, out)
	}
	expectVariables(t, variables(t, out, 2), "SERVER_STARTER_GENERATION=2", "COLOUR=blue")
	poll.Until(t, "the end of generation 1", d.alone)
	second := d.status().Generations[0].PID
	expectFile(statusPath, fmt.Sprintf("2:%d\n", second))

	if out, code := verb(t, "reexec", "--control", d.control); code != 0 {
		t.Fatalf("reexec exits with %d: %s", code, out)
	}
	expectFile(pidPath, fmt.Sprintln(d.cmd.Process.Pid))
	expectFile(statusPath, fmt.Sprintf("2:%d\n", second))

	f, err := os.Open(pidPath)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != unix.EWOULDBLOCK {
		t.Errorf("the PID file can be locked: %v", err)
	}
	if err := d.stop(syscall.SIGTERM); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		t.Errorf("the PID file cannot be locked after the end: %v", err)
	}
	for _, path := range []string{pidPath, statusPath} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

// descriptorFlags are the flags of open(2) of a process's descriptor.
func descriptorFlags(t *testing.T, pid, fd int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
	if err != nil {
		t.Fatal(err)
	}
	flags := 0
	if _, after, ok := strings.Cut(string(text), "flags:"); !ok {
		t.Fatalf("no flags in %q", text)
	} else if _, err := fmt.Sscanf(after, "%o", &flags); err != nil {
		t.Fatal(err)
	}
	return flags
}

// TestEinhorn: a program of Einhorn finds its sockets, and its parent; and nothing of
// what handoffd was told of its own.
func TestEinhorn(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("OUT", out)
	for _, name := range []string{"SERVER_STARTER_PORT", "EINHORN_FD_1", "EINHORN_SOCK_PATH", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "FDSTORE"} {
		t.Setenv(name, "77")
	}
	d := standalone(t, append([]string{"--compat", "einhorn", "--stop-signal", "USR2"}, environs...)...)
	got := variables(t, out, 1)
	expectVariables(t, got, "EINHORN_FD_COUNT=1", "EINHORN_FD_0=3", "EINHORN_FDS=3", "LISTEN_FDS=1",
		fmt.Sprintf("EINHORN_MASTER_PID=%d", d.cmd.Process.Pid), fmt.Sprintf("LISTEN_PID=%d", d.status().Generations[0].PID),
		fmt.Sprintf("NOTIFY_SOCKET=%s/generations/notify-1", filepath.Dir(d.socket)))
	for _, v := range got {
		if strings.HasSuffix(v, "=77") {
			t.Errorf("the program is told %s", v)
		}
	}
	if err := d.stop(syscall.SIGTERM); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
}

// TestIntervalAndDelay: --ready alive and --probation are the --interval and the
// --kill-old-delay of start_server: a new program that ends in either is undone, and
// until both are over the old one is the service, and is not told to stop.
func TestIntervalAndDelay(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("OUT", out)
	statusPath := out + ".status"
	d := standalone(t, "--compat", "server-starter", "--ready", "alive:200ms", "--probation", "10m", "--status-file", statusPath, "--",
		"/bin/sh", "-c", `while [ $HANDOFF_GENERATION = 1 ] || [ ! -e "$OUT.fail" ]; do sleep 0.05; done; exit 3`)
	first := d.status().Generations[0].PID
	fail := out + ".fail"
	reload := func() chan string {
		said := make(chan string, 1)
		go func() {
			text, code := verb(t, "reload", "--control", d.control)
			said <- fmt.Sprintf("%d: %s", code, text)
		}()
		return said
	}
	stays := func(when string) {
		t.Helper()
		if text, err := os.ReadFile(statusPath); err != nil || string(text) != fmt.Sprintf("1:%d\n", first) {
			t.Errorf("%s the status file is %q, %v", when, text, err)
		}
		if g := d.status().Generations[0]; g.PID != first || g.State != "serving" {
			t.Errorf("%s generation 1 is %+v", when, g)
		}
	}
	expect := func(said chan string, want string) {
		t.Helper()
		if text := <-said; !strings.Contains(text, want) {
			t.Errorf("the reload exits with %s, want %q", text, want)
		}
	}
	both := func() {
		t.Helper()
		poll.Until(t, "both to accept", func() bool { g := d.status().Generations; return len(g) == 2 && g[1].State == "ready" })
		stays("in the delay")
	}
	write := func() {
		t.Helper()
		if err := os.WriteFile(fail, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	expect(reload(), "exit status 3")
	poll.Until(t, "the end of generation 2", d.alone)
	stays("after one that ends in the interval")

	os.Remove(fail)
	said := reload()
	both()
	write()
	expect(said, "exit status 3")
	poll.Until(t, "the end of generation 3", d.alone)
	stays("after one that ends in the delay")

	os.Remove(fail)
	said = reload()
	both()
	if text, code := verb(t, "commit", "--control", d.control); code != 0 {
		t.Errorf("commit exits with %d: %s", code, text)
	}
	expect(said, "0: generation 4: done")
	poll.Until(t, "the end of generation 1", d.alone)
}
