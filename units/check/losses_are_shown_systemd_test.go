package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestLosses shows on a real systemd, for each rule of severity Loss, that its bad
// pair loses a client, and that the mended one does not.
func TestLosses(t *testing.T) {
	app := systemdtest.Build(t, "./testdata/app")
	handoffd := systemdtest.Build(t, "github.com/holdfast-go/holdfast/handoff/handoffd")
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		if all := os.Getenv("HOLDFAST_SYSTEMD") == "all"; all && m.Version() != 252 && m.Version() != 262 {
			t.Skip("of all, 252 and 262 are enough; HOLDFAST_SYSTEMD=247 runs it here")
		}
		m.InstallFile("/usr/local/bin/app", app, 0o755)
		m.InstallFile("/usr/local/bin/unicorn", app, 0o755)
		m.InstallFile("/usr/local/bin/handoffd", handoffd, 0o755)
		m.WriteFile("/usr/local/bin/fragile", []byte("#!/bin/sh\n[ -e /run/ok ] || exit 1\nexec /usr/local/bin/app\n"), 0o755)
		for _, c := range cases() {
			if c.lost == nil {
				continue
			}
			t.Run(c.rule, func(t *testing.T) {
				c.systemd = m.Version()
				bad := c.over(c.bad)
				findings := c.run(t, bad)
				if !slices.Contains(found(findings), c.rule) {
					t.Skipf("the rule does not hold of systemd %d", m.Version())
				}
				e := &experiment{t: t, m: m, bad: true, patience: time.Second}
				err := e.run(bad, c.lost)
				if err == nil {
					t.Error("the bad pair loses nobody")
				}
				t.Logf("the bad pair: %v", err)
				e.bad, e.patience = false, time.Minute
				if err := e.run(c.fixed(findings), c.lost); err != nil {
					t.Errorf("the mended pair: %v", err)
				}
			})
		}
	})
}

// TestLossesAreShown: each rule that claims a loss is in TestLosses.
func TestLossesAreShown(t *testing.T) {
	shown := make(map[string]bool)
	for _, c := range cases() {
		shown[c.rule] = shown[c.rule] || c.lost != nil
	}
	for _, r := range Rules() {
		if shown[r.ID] != (r.Severity == Loss) {
			t.Errorf("%s is of severity %v; shown as a loss: %v", r.ID, r.Severity, shown[r.ID])
		}
	}
}

// An experiment is one pair on one machine.
type experiment struct {
	t        *testing.T
	m        *systemdtest.Machine
	files    files
	bad      bool          // the client is expected to be lost
	patience time.Duration // how long a client waits for its answer
}

// A scenario says how a client fared: nil if it was served.
type scenario func(e *experiment) error

// run installs the units, and takes them away afterwards.
func (e *experiment) run(f files, s scenario) error {
	e.t.Helper()
	e.files = f
	const dir = "/etc/systemd/system/"
	for name, text := range f {
		e.m.InstallUnit(name, strings.TrimSuffix(text, masked))
	}
	defer func() {
		names := slices.DeleteFunc(slices.Collect(maps.Keys(f)), func(name string) bool { return strings.Contains(name, "/") })
		for i, name := range names {
			names[i] = strings.Replace(name, "@.", "@*.", 1)
		}
		if e.t.Failed() {
			e.t.Logf("the journal: %s", e.m.Journal("-n", "40"))
		}
		all := strings.Join(names, " ") // and sockets first, or what waits in them starts the service again
		e.m.Output("sh", "-c", "systemctl stop app.socket other.socket 2>/dev/null; systemctl kill -s KILL "+all+"; systemctl stop "+all+"; systemctl reset-failed; true")
		for name := range f { // unloaded with the next daemon-reload
			os.RemoveAll(e.m.Path(dir + strings.Split(name, "/")[0]))
		}
	}()
	return s(e)
}

// start starts a unit, or does not: that is for the client to find out.
func (e *experiment) start(unit string) {
	if out, err := e.m.TrySystemctl("start", unit); err != nil {
		e.t.Logf("start %s: %v %s", unit, err, out)
	}
}

func (e *experiment) dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(e.t.Context(), e.patience)
	defer cancel()
	c, err := e.m.Dial(ctx, network, address)
	if err == nil {
		e.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// A client has a connection to the service.
func (e *experiment) client() (net.Conn, error) { return e.dial("tcp", "127.0.0.1:8080") }

// send sends text, and expect waits for the answer.
func (e *experiment) send(c net.Conn, text string) error {
	c.SetDeadline(time.Now().Add(e.patience))
	_, err := io.WriteString(c, text)
	return err
}

func (e *experiment) expect(c net.Conn) error {
	c.SetDeadline(time.Now().Add(e.patience))
	answer := make([]byte, len("pong\n"))
	if _, err := io.ReadFull(c, answer); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	return nil
}

// must is for what comes before the loss: it takes as long as it takes.
func (e *experiment) must(what string, f func() error) {
	e.t.Helper()
	patience := e.patience
	defer func() { e.patience = patience }()
	e.patience = time.Minute
	if err := f(); err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
}

func (e *experiment) ping(c net.Conn) error {
	return errors.Join(e.send(c, "ping\n"), e.expect(c))
}

// cut waits until the connection is cut; that of a mended pair must bear some time.
func (e *experiment) cut(c net.Conn, bear time.Duration) error {
	if e.bad {
		bear = time.Minute
	}
	c.SetDeadline(time.Now().Add(bear))
	_, err := c.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("cut: %w", err)
}

func asks(e *experiment) error { return asksAt("tcp", "127.0.0.1:8080")(e) }

// asksAt: the socket is started, and a client asks.
func asksAt(network, address string) scenario {
	return func(e *experiment) error {
		e.start("app.socket")
		return e.ask(network, address)
	}
}

func (e *experiment) ask(network, address string) error {
	c, err := e.dial(network, address)
	if err != nil {
		return err
	}
	return e.ping(c)
}

// asksService: the service alone is started.
func asksService(address string) scenario {
	return func(e *experiment) error {
		e.start("app.service")
		return e.ask("tcp", address)
	}
}

// asksAgain: the service is restarted between two clients.
func asksAgain(network, address string) scenario {
	return func(e *experiment) error {
		e.start("app.socket")
		e.must("the first client", func() error { return e.ask(network, address) })
		e.m.Systemctl("restart", "app.service")
		return e.ask(network, address)
	}
}

// asksTwice is the same, where the first client may be lost, and the service may not
// start again.
func asksTwice(e *experiment) error {
	if err := asks(e); err != nil {
		return err
	}
	if _, err := e.m.TrySystemctl("restart", "app.service"); err != nil {
		return err
	}
	return e.ask("tcp", "127.0.0.1:8080")
}

// beforeAddress: the socket is started, and only then the address comes.
func beforeAddress(ip string) scenario {
	return func(e *experiment) error {
		e.start("app.socket")
		e.m.Output("/usr/local/bin/app", "-add-address", ip)
		defer e.m.Output("/usr/local/bin/app", "-add-address", "127.0.0.2")
		return e.ask("tcp", net.JoinHostPort(ip, "8080"))
	}
}

// busy returns a client whose line is under way.
func (e *experiment) busy() (c net.Conn) {
	e.t.Helper()
	e.start("app.socket")
	e.start("app.service")
	e.must("the first client", func() (err error) {
		if c, err = e.client(); err != nil {
			return err
		}
		return errors.Join(e.ping(c), e.send(c, "pi"))
	})
	return c
}

// idle returns a client whose first line was answered.
func (e *experiment) idle() net.Conn {
	e.t.Helper()
	c := e.busy()
	e.must("the first line", func() error { return errors.Join(e.send(c, "ng\n"), e.expect(c)) })
	return c
}

// duringStop: a client comes while the service, which takes no more connections,
// waits for the last line of another.
func duringStop(verb string) scenario {
	return func(e *experiment) error {
		first := e.busy()
		e.m.Systemctl(verb, "--no-block", "app.service")
		e.state("deactivating", "inactive")
		for {
			c, err := e.client()
			if err == nil {
				err = e.send(c, "ping\n")
			}
			if err != nil {
				return err
			}
			c.SetDeadline(time.Now().Add(time.Second))
			answer := make([]byte, len("pong\n"))
			switch _, err := io.ReadFull(c, answer); {
			case err == nil: // the service has not heard yet that it is to stop
				continue
			case !errors.Is(err, os.ErrDeadlineExceeded):
				return fmt.Errorf("no answer: %w", err)
			}
			e.send(first, "ng\n")
			return e.expect(c)
		}
	}
}

// state waits until the service is in one of the states.
func (e *experiment) state(states ...string) {
	e.t.Helper()
	poll.Until(e.t, fmt.Sprintf("the service is one of %q", states), func() bool {
		return slices.Contains(states, e.m.Property("app.service", "ActiveState"))
	})
}

// tries waits until systemd has tried to start a unit so often, or has given up the
// socket.
func (e *experiment) tries(unit string, times int) {
	e.t.Helper()
	if e.bad { // a socket that is kept makes the test fail
		times = 1000
	}
	seen := make(map[string]bool)
	for end := time.Now().Add(time.Minute); len(seen) <= times; {
		state := e.m.Systemctl("show", "-p", "ActiveState", "--value", "app.socket")
		if strings.TrimSpace(state) == "failed" {
			return
		}
		seen[e.m.Systemctl("show", "-p", "ConditionTimestampMonotonic", "-p", "AssertTimestampMonotonic", "-p", "InactiveExitTimestampMonotonic", unit)] = true
		if time.Now().After(end) {
			e.t.Fatalf("after %d tries the socket is %s", len(seen), state)
		}
	}
}

// underWay: the service is restarted while a line is under way, which takes some time.
func underWay(bear time.Duration) scenario {
	return func(e *experiment) error {
		c := e.busy()
		e.m.Systemctl("restart", "--no-block", "app.service")
		if err := e.cut(c, bear); err != nil {
			return err
		}
		return errors.Join(e.send(c, "ng\n"), e.expect(c))
	}
}

// stays: a connection is used again after some time.
func stays(bear time.Duration) scenario {
	return func(e *experiment) error { return e.stays(bear) }
}

func (e *experiment) stays(bear time.Duration) error {
	e.m.TrySystemctl("start", "--no-block", "app.socket")
	e.m.TrySystemctl("start", "--no-block", "app.service")
	c, err := e.client()
	for end := time.Now().Add(e.patience); err != nil && time.Now().Before(end); c, err = e.client() {
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(e.ping(c), e.cut(c, bear)); err != nil {
		return err
	}
	return e.ping(c)
}

// kept: a connection is used again after a restart.
func kept(e *experiment) error {
	c := e.idle()
	e.m.Systemctl("restart", "app.service")
	return e.ping(c)
}

// outlives: a connection is used again after each of some crashes.
func outlives(crashes int) scenario {
	return func(e *experiment) error {
		c := e.idle()
		for range crashes {
			e.m.TrySystemctl("kill", "-s", "KILL", "app.service")
			if err := e.ping(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// afterExit: the program ends by itself, and then a client asks.
func afterExit(e *experiment) error {
	c := e.idle()
	e.m.Output("kill", e.m.Property("app.service", "MainPID"))
	if err := e.cut(c, time.Minute); err == nil {
		e.t.Fatal("the program does not end")
	}
	return e.ask("tcp", "127.0.0.1:8080")
}

// asksUser: the socket is one of a user's manager.
func asksUser(e *experiment) error {
	const uid = "65534" // nobody
	const dir = "/etc/systemd/user/"
	for name, text := range e.files {
		e.m.WriteFile(dir+name, []byte(text), 0o644)
	}
	defer os.RemoveAll(e.m.Path(dir + "app.socket.d"))
	e.m.Systemctl("start", "user@"+uid+".service")
	defer e.m.Systemctl("stop", "user@"+uid+".service")
	start := []string{"-u", "nobody", "--", "env", "XDG_RUNTIME_DIR=/run/user/" + uid, "systemctl", "--user", "start", "app.socket"}
	out, err := e.m.Command(e.t.Context(), "runuser", start...).CombinedOutput()
	e.t.Logf("start app.socket: %v %s", err, out)
	address := "127.0.0.1:80"
	if strings.Contains(e.files["app.socket.d/test.conf"], "=8080\n") {
		address = "127.0.0.1:8080"
	}
	return e.ask("tcp", address)
}

// withoutWants returns a unit that does not ask for its socket.
func withoutWants(text string) string {
	return strings.Replace(text, "Wants=app.socket\n", "", 1)
}
