package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// out checks that the service is out of the rotation: it refuses, and is active.
func out(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	if c, err := m.Dial(t.Context(), "tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			c.Close()
		}
		t.Errorf("out of the rotation: %v, want refused", err)
	}
	for _, unit := range []string{service, socket} {
		if state := m.Property(unit, "ActiveState"); state != "active" {
			t.Errorf("%s is %s", unit, state)
		}
	}
	if status, err := handoffd(t, m, "status"); err != nil || !strings.HasPrefix(status, "out of the rotation") {
		t.Errorf("%v: %s", err, status)
	}
	if n := generations(t, m); n != 0 {
		t.Errorf("%d generations", n)
	}
}

// TestLeavingRotation: the service leaves the rotation and comes back by each way there is,
// and every client is served or refused, whether the program knows of it or not.
func TestLeavingRotation(t *testing.T) {
	const requests, clients = 300, 16
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/plain", systemdtest.Build(t, plainGo), 0o755)
		undrain := func(t *testing.T) {
			if text, err := handoffd(t, m, "undrain"); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
		}
		for _, c := range []struct {
			name    string
			program string
			keep    bool
			back    []func(t *testing.T)
		}{
			{"new connections", "holdfast-http", false, []func(*testing.T){undrain, undrain}},
			{"kept connections", "holdfast-http", true, []func(*testing.T){
				undrain,
				func(t *testing.T) { m.Systemctl("restart", service) },
				func(t *testing.T) { m.Systemctl("stop", service); m.Systemctl("start", service) },
				func(t *testing.T) { m.Output("kill", "-KILL", m.Property(service, "MainPID")) },
			}},
			{"a plain program", "plain", false, []func(*testing.T){undrain, undrain}},
		} {
			t.Run(c.name, func(t *testing.T) {
				begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/"+c.program+"\n")
				result := counted(t, m, loadtest.Options{Clients: clients, KeepAlive: c.keep}, func(load *loadtest.Load) {
					for _, back := range c.back {
						progress(t, load, requests)
						refused := load.Counts().Refused
						if text, err := handoffd(t, m, "drain", "--lame-duck", "100ms"); err != nil {
							t.Fatalf("%v: %s", err, text)
						}
						out(t, m)
						if text, err := handoffd(t, m, "reload"); err == nil || !strings.Contains(text, "out of the rotation") {
							t.Errorf("a reload meanwhile: %v: %s", err, text)
						}
						poll.Until(t, "clients to be refused", func() bool { return load.Counts().Refused >= refused+clients })
						back(t)
					}
					progress(t, load, requests)
				})
				counts := result.Total.Counts
				t.Log(counts)
				// What a client sends on an idle connection while that is closed is lost,
				// and said to be safe to send again: RFC 9112, section 9.3.1.
				if lost := counts.Failed() - counts.Refused - counts.Stale; lost != 0 || !c.keep && counts.Stale != 0 {
					t.Error(result.Err())
				}
			})
		}
	})
}

// TestLeavingIsCut: a drain that is undone, or whose handoffd is killed, while new
// clients are kept off, leaves a listener that takes them, and who waited is served.
func TestLeavingIsCut(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		for name, cut := range map[string]func(t *testing.T, program string){
			"undrain": func(t *testing.T, program string) {
				if text, err := handoffd(t, m, "undrain"); err != nil {
					t.Errorf("%v: %s", err, text)
				}
				m.Output("kill", "-CONT", program)
			},
			// The program first: the kernel has what is stopped go on when its parent dies
			// (setpgid(2)), and it would take the client along to its own end.
			"killed": func(_ *testing.T, program string) {
				m.Output("kill", "-KILL", program, m.Property(service, "MainPID"))
			},
		} {
			t.Run(name, func(t *testing.T) {
				begin(t, m, "")
				program := serving(t, m)
				freeze(t, m, program)
				get := func() error {
					client := http.Client{Timeout: poll.Patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: m.Dial}}
					r, err := client.Get("http://" + address)
					if err == nil {
						r.Body.Close()
					}
					return err
				}
				waited := make(chan error, 1)
				go func() { waited <- get() }()
				poll.Until(t, "a client in the queue", func() bool { return strings.Contains(m.Output("cat", "/proc/net/tcp"), ":1F90 01 ") })
				ended := make(chan string, 1)
				go func() {
					text, _ := handoffd(t, m, "drain")
					ended <- text
				}()
				poll.Until(t, "the leave", func() bool { return statusOf(t, m).Situation == "leaving the rotation" })
				poll.Until(t, "clients to be kept off", func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer cancel()
					c, err := m.Dial(ctx, "tcp", address)
					if err == nil {
						c.Close()
					}
					return errors.Is(err, context.DeadlineExceeded)
				})
				cut(t, program)
				for _, err := range []error{<-waited, get()} {
					if err != nil {
						t.Error(err)
					}
				}
				if text := <-ended; !strings.Contains(text, "to stay") && !strings.Contains(text, "went away") {
					t.Errorf("the drain ends with %s", text)
				}
			})
		}
	})
}

// freeze stops a process. One of its threads hears of it first, and the others go on
// until that one has had processor time.
func freeze(t *testing.T, m *systemdtest.Machine, pid string) {
	t.Helper()
	m.Output("kill", "-STOP", pid)
	poll.Until(t, "all threads to stand still", func() bool {
		threads := m.Output("sh", "-c", "cat /proc/"+pid+"/task/*/status")
		return strings.Count(threads, "State:") == strings.Count(threads, "State:\tT")
	})
}

// TestLeavingRefuses: what drain and undrain do where there is nothing to do.
func TestLeavingRefuses(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "")
		for _, c := range []struct {
			args []string
			fail bool
			want string
		}{
			{[]string{"undrain"}, false, "done"},
			{[]string{"drain", "--lame-duck", "-1s"}, true, "at most"},
			{[]string{"reload", "--hold"}, false, "held"},
			{[]string{"drain"}, true, "the service is ready; want it serving"},
			{[]string{"undrain"}, false, "done"},
			{[]string{"abort"}, false, "done"},
			{[]string{"abort"}, true, "no successor"},
			{[]string{"drain"}, false, "done"},
			{[]string{"drain"}, false, "done"},
			{[]string{"commit"}, true, "out of the rotation"},
		} {
			if text, err := handoffd(t, m, c.args...); err != nil != c.fail || !strings.Contains(text, c.want) {
				t.Errorf("%q: %v: %s", c.args, err, text)
			}
		}
		out(t, m)
		// A stop ends it well, and the socket goes on.
		m.Systemctl("stop", service)
		if result := m.Property(service, "Result"); result != "success" {
			t.Errorf("after a stop: %s", result)
		}
		// An undrain while clients are still let in is enough to stay.
		m.Systemctl("start", service)
		ended := make(chan string, 1)
		go func() {
			text, err := handoffd(t, m, "drain", "--lame-duck", "1h")
			if err == nil {
				text = "done"
			}
			ended <- text
		}()
		poll.Until(t, "a leave", func() bool {
			status, err := handoffd(t, m, "status")
			return err == nil && strings.HasPrefix(status, "leaving the rotation")
		})
		if text, err := handoffd(t, m, "undrain"); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		if text := <-ended; !strings.Contains(text, "the service is to stay") {
			t.Errorf("the drain ends with %s", text)
		}
		var c net.Conn
		c, err := m.Dial(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}
