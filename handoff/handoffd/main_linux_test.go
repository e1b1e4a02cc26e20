package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
	"github.com/holdfast-go/holdfast/units/poll"
)

// helper names what the test binary is to be instead: "handoffd", "program", a server
// on package handoff, "speaker" or "odd".
const helper = "HANDOFFD_TEST_HELPER"

func TestMain(m *testing.M) {
	if err := supervisor.ExecStep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	switch os.Getenv(helper) {
	case "handoffd":
		os.Exit(execute(context.Background(), os.Args, os.Stdout, os.Stderr))
	case "program", "speaker", "odd":
		run := map[string]func() error{"program": program, "speaker": speaker, "odd": odd}[os.Getenv(helper)]
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func program() error {
	svc, err := handoff.Open(context.Background(), handoff.Options{})
	if err != nil {
		return err
	}
	ln, err := svc.Listen("http", "tcp", "")
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "generation %d, %s", svc.Generation(), os.Getenv("GREETING"))
	})
	if err := svc.Serve(ln, &http.Server{Handler: handler}); err != nil {
		return err
	}
	return svc.Run(context.Background())
}

// verb runs a verb, and returns what it prints and exits with. What run does to its
// process (see reexec.BlockSignals) must not be done to that of the tests.
func verb(t *testing.T, args ...string) (string, int) {
	t.Helper()
	if len(args) > 0 && args[0] == "run" {
		out, err := command(t, args...).CombinedOutput()
		return string(out), exitCode(t, err)
	}
	var out bytes.Buffer
	code := execute(t.Context(), append([]string{"handoffd"}, args...), &out, &out)
	return out.String(), code
}

// command returns handoffd as a process of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), helper+"=handoffd", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// An instance is a handoffd without a manager.
type instance struct {
	t       *testing.T
	cmd     *exec.Cmd
	link    string // handoffd's own path
	control string
	env     string // the environment file
	socket  string // where it listens
	out     bytes.Buffer
	done    chan struct{} // closed when it has ended
	err     error         // of its end
}

// standalone starts handoffd on a Unix socket, and waits until it serves. args are
// flags and the program, and by default this binary as "program".
func standalone(t *testing.T, args ...string) *instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "handoffd") // a short path, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &instance{
		t: t, control: filepath.Join(dir, "control"), env: filepath.Join(dir, "env"), socket: filepath.Join(dir, "http"),
		done: make(chan struct{}),
	}
	d.environment("GREETING=hello")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{"--", exe}
	}
	d.cmd = command(t, append([]string{"run", "--control", d.control, "--listen", "http=" + d.socket, "--environment-file", d.env}, args...)...)
	d.link = filepath.Join(t.TempDir(), "handoffd")
	if err := os.Symlink(exe, d.link); err != nil {
		t.Fatal(err)
	}
	d.cmd.Path, d.cmd.Args[0] = d.link, d.link
	d.cmd.Env = append(d.cmd.Env, "RUNTIME_DIRECTORY="+dir)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		d.cmd.Process.Signal(syscall.SIGTERM) // so that the generations end, too
		<-d.done
		if t.Failed() {
			t.Logf("handoffd says:\n%s", d.out.String())
		}
	})
	poll.Until(t, "handoffd", func() bool {
		out, code := verb(t, "status", "--control", d.control)
		return code == 0 && strings.HasPrefix(out, "serving")
	})
	return d
}

func (d *instance) environment(variables ...string) {
	d.t.Helper()
	text := strings.Join(append(variables, helper+"=program"), "\n")
	if err := os.WriteFile(d.env, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// get returns what the service answers.
func (d *instance) get() string {
	d.t.Helper()
	client := http.Client{Timeout: poll.Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialUnix(d.socket)}}
	r, err := client.Get("http://localhost/")
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(body)
}

// visitor connects.
func (d *instance) visitor() net.Conn {
	d.t.Helper()
	c, err := net.Dial("unix", d.socket)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(poll.Patience))
	return c
}

// alone reports whether there is one generation.
func (d *instance) alone() bool {
	d.t.Helper()
	out, code := verb(d.t, "status", "--json", "--control", d.control)
	var status control.Status
	if code == 0 {
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			d.t.Fatal(err)
		}
	}
	return len(status.Generations) == 1
}

// stop ends it, and returns its error.
func (d *instance) stop(sig os.Signal) error {
	d.t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.done:
		return d.err
	case <-time.After(poll.Patience):
		d.t.Fatal("handoffd does not end")
		return nil
	}
}

// TestStandalone: without a manager it binds the sockets itself, and the rest is
// the same.
func TestStandalone(t *testing.T) {
	d := standalone(t)
	if got, want := d.get(), "generation 1, hello"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	d.environment("GREETING=hi")
	if out, code := verb(t, "reload", "--control", d.control); code != 0 || out != "generation 2: done\n" {
		t.Errorf("reload exits with %d: %s", code, out)
	}
	poll.Until(t, "the end of generation 1", func() bool { return d.get() == "generation 2, hi" && d.alone() })
	d.environment("no variable")
	out, code := verb(t, "reload", "--control", d.control)
	if want := d.env + `: line 1: "no variable": want KEY=VALUE`; code != exitUndone || !strings.Contains(out, want) {
		t.Errorf("reload exits with %d, want %d and %q: %s", code, exitUndone, want, out)
	}
	if got, want := d.get(), "generation 2, hi"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	d.environment("GREETING=hey")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "the reload by SIGHUP", func() bool { return d.get() == "generation 4, hey" })
	if err := d.stop(syscall.SIGTERM); err != nil {
		t.Errorf("handoffd ends with %v", err)
	}
	if out, code := verb(t, "status", "--control", d.control); code != exitUnavailable {
		t.Errorf("status exits with %d: %s", code, out)
	}
	left, err := os.ReadDir(filepath.Dir(d.control))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() != "env" && e.Name() != "http" {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestReloadsLeakNothing: descriptors and processes are as before, however often.
func TestReloadsLeakNothing(t *testing.T) {
	const reloads = 30
	d := standalone(t)
	reload := func() {
		t.Helper()
		if out, code := verb(t, "reload", "--control", d.control); code != 0 {
			t.Fatalf("reload exits with %d: %s", code, out)
		}
	}
	alone := func() { t.Helper(); poll.Until(t, "one generation", d.alone) }
	descriptors := func() int {
		t.Helper()
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	reload()
	alone()
	before := descriptors()
	for range reloads {
		reload()
	}
	alone()
	poll.Until(t, fmt.Sprintf("%d descriptors", before), func() bool { return descriptors() <= before+slack })
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", d.cmd.Process.Pid, d.cmd.Process.Pid))
	if err == nil && len(strings.Fields(string(children))) > 1 {
		t.Errorf("children are left: %s", children)
	}
	if got, want := d.get(), fmt.Sprintf("generation %d, hello", reloads+2); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestUsage: mistakes on the command line, and what is said about them.
func TestUsage(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "COMMANDS"},
		{"--help", exitDone, "COMMANDS"},
		{"--version", exitDone, "dev"},
		{"--help", exitDone, "completion"},
		{"completion bash", exitDone, "complete -o"},
		{"completion zsh", exitDone, "compdef"},
		{"nonsense", exitUsage, `no command "nonsense"`},
		{"--nonsense", exitUsage, "nonsense"},
		{"run", exitUsage, "no program"},
		{"unit app --help", exitDone, "--drain-timeout"},
		{"run --help", exitDone, "--drain-timeout"},
		{"run --help", exitDone, "137"},
		{"reload --help", exitDone, "69 no handoffd"},
		{"commit --help", exitDone, "69 no handoffd"},
		{"abort --help", exitDone, "69 no handoffd"},
		{"status --help", exitDone, "69 no handoffd"},
		{"run --ready maybe -- true", exitUsage, `--ready "maybe": want notify, accept, exec or alive:DURATION`},
		{"run --accept-later --ready exec -- true", exitUsage, "--accept-later with --ready exec"},
		{"run --accept-timeout -1s -- true", exitUsage, "--accept-timeout -1s"},
		{"run --probe ftp://http/ -- true", exitUsage, `--probe "ftp://http/": want http://NAME/PATH, tcp, tcp:NAME or a command`},
		{"run --probe tcp --probe-times 0 -- true", exitUsage, "--probe-times 0"},
		{"run --give-up -1s -- true", exitUsage, "--give-up -1s"},
		{"run --probation soon -- true", exitUsage, "soon"},
		{"run --drain-timeout -1s -- true", exitUsage, "--drain-timeout -1s"},
		{"run --pause-workers 1m -- true", exitUsage, "--pause-workers 1m0s: want less than --drain-timeout, 1m0s"},
		{"run --max-generations 0 -- true", exitUsage, "--max-generations 0"},
		{"run --listen 80 -- true", exitUsage, `--listen "80": want NAME=ADDRESS`},
		{"run --stop-signal NOSUCH -- true", exitUsage, `--stop-signal "NOSUCH"`},
		{"run --stop-signal stop -- true", exitUsage, `--stop-signal "stop": it tells no program to end`},
		{"run --notify-access some -- true", exitUsage, `--notify-access "some": want main or all`},
		{"run --compat upstart -- true", exitUsage, `--compat "upstart": want server-starter or einhorn`},
		{"run --listen http=127.0.0.1:0 --pid-file /absent/pid -- true", exitUndone, "--pid-file: open /absent/pid"},
		{"run --listen http=127.0.0.1:0 --status-file /absent/status -- true", exitUndone, "--status-file: open /absent/status"},
		{"run -- true", exitUndone, "no sockets were passed"},
		{"reload --hold --dry-run", exitUsage, "exclude each other"},
		{"reload a b", exitUsage, `unexpected argument "b"`},
		{"reload /absent", exitUsage, "/absent"},
		{"reload", exitUnavailable, "RUNTIME_DIRECTORY"},
		{"commit x", exitUsage, `unexpected argument "x"`},
		{"status --control /absent/socket", exitUnavailable, "/absent/socket"},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, code := verb(t, strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("it exits with %d, want %d and %q: %s", code, c.code, c.want, out)
			}
		})
	}
}

func dialUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
}
