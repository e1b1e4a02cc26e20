package units

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// onMachines runs f on each systemd, unless the tests are to be short.
func onMachines(t *testing.T, o systemdtest.Options, f func(t *testing.T, m *systemdtest.Machine)) {
	t.Helper()
	if testing.Short() {
		t.Skip("it boots machines, and -short is set")
	}
	systemdtest.Run(t, o, f)
}

// A manager is the system's in m, or that of its user root.
type manager struct {
	t    *testing.T
	m    *systemdtest.Machine
	user bool
}

func (c manager) install(texts map[string]string) {
	c.t.Helper()
	for file, text := range texts {
		if c.user {
			c.m.WriteFile("/etc/systemd/user/"+file, []byte(text), 0o644)
		} else {
			c.m.InstallUnit(file, text)
		}
	}
	if c.user {
		c.ctl("daemon-reload")
	}
}

func (c manager) ctl(args ...string) string {
	c.t.Helper()
	if !c.user {
		return c.m.Systemctl(args...)
	}
	return c.m.Output(append([]string{"env", "XDG_RUNTIME_DIR=/run/user/0", "systemctl", "--user"}, args...)...)
}

func (c manager) mainPID(service string) string {
	c.t.Helper()
	return c.ctl("show", "--property=MainPID", service)
}

// started waits until the service counts as started. It may answer before: systemd has
// not read READY=1 then, and makes a reload a part of the start.
func (c manager) started(service string) {
	c.t.Helper()
	poll.Until(c.t, "the start of "+service, func() bool {
		return strings.TrimSpace(c.ctl("show", "--property=ActiveState", service)) == "ActiveState=active"
	})
}

const examples = "github.com/holdfast-go/holdfast/examples/"

// install puts the programs of the pairs into m.
func install(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	for name, pkg := range map[string]string{
		"handoffd":       "github.com/holdfast-go/holdfast/handoff/handoffd",
		"holdfast-hello": examples + "hello",
		"holdfast-http":  examples + "http",
		"holdfast-two":   "./testdata/two",
	} {
		m.InstallFile("/usr/local/bin/"+name, systemdtest.Build(t, pkg), 0o755)
	}
}

// served is one pair, and what clients may expect of it.
type served struct {
	name     string
	d        Description
	embedded bool
	reloads  bool // under handoffd
	cuts     bool // a restart may cut what the program was answering
}

// TestPairsServe: each pair answers from the first client on, and no client loses
// anything while the service is restarted, and reloaded where it can be. The pairs
// of the other examples, and holdfast-app, are tested where their programs are.
func TestPairsServe(t *testing.T) {
	http := []Socket{{"http", "tcp", ":8080"}}
	program := []string{"/usr/local/bin/holdfast-http"}
	cases := []served{
		{name: "holdfast-hello", embedded: true, cuts: true},
		{name: "holdfast-unix", embedded: true},
		{name: "holdfast-two", embedded: true},
		{name: "holdfast-user", embedded: true},
		{name: "socket", d: Description{Kind: KindSocket, Sockets: http, Command: program}},
		{name: "store", d: Description{Kind: KindStore, Sockets: []Socket{{"http", "unix", "/run/a b%.sock"}}, Command: program}},
		{name: "handoffd", d: Description{Kind: KindHandoffd, Sockets: http, Command: program}, reloads: true},
		{name: "signal", d: Description{Kind: KindHandoffdSignal, Sockets: http, Command: program}, reloads: true},
		{name: "user", d: Description{Kind: KindHandoffd, User: true, Sockets: []Socket{{"http", "unix", "%t/user.sock"}}, Command: program}, reloads: true},
	}
	onMachines(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		m.Systemctl("start", "user@0.service")
		for _, c := range cases {
			if c.d.Kind == KindHandoffdSignal && m.Version() < 253 {
				continue
			}
			t.Run(c.name, func(t *testing.T) { c.serve(t, m) })
		}
	})
}

// serve starts the sockets alone, and replaces the program under load.
func (c served) serve(t *testing.T, m *systemdtest.Machine) {
	d := c.d
	if c.embedded {
		d = described[c.name]
	} else {
		d.Systemd = m.Version()
	}
	d.Name = c.name
	texts := rendered(t, d)
	if c.embedded {
		for file := range texts {
			texts[file] = pairs(t)[file]
		}
	}
	x := manager{t, m, d.User}
	x.install(texts)
	var sockets []string
	for file := range texts {
		if path.Ext(file) == ".socket" {
			sockets = append(sockets, file)
		}
	}
	service := d.Name + ".service"
	x.ctl(append([]string{"start"}, sockets...)...)
	defer x.ctl(append([]string{"stop", service}, sockets...)...)

	var loads []*loadtest.Load
	for _, s := range d.Sockets {
		loads = append(loads, startLoad(t, m, s, !c.cuts))
	}
	progress := func() {
		t.Helper()
		for _, l := range loads {
			want := l.Counts().OK + 200
			poll.Until(t, "200 more answers", func() bool { return l.Counts().OK >= want })
		}
	}
	progress()
	x.started(service)
	if d.Kind == KindStore { // whose programs say what became of it
		x.ctl("reload", service)
		poll.UntilEqual(t, "the status", "StatusText=reloaded", func() string {
			return strings.TrimSpace(x.ctl("show", "--property=StatusText", service))
		})
		progress()
	}
	verbs := []string{"restart", "restart"}
	if c.reloads {
		verbs = []string{"reload", "restart", "reload"}
	}
	for _, verb := range verbs {
		before := x.mainPID(service)
		x.ctl(verb, service)
		if same := x.mainPID(service) == before; same != (verb == "reload") {
			t.Errorf("after %s the main process is the same: %t", verb, same)
		}
		progress()
	}
	for i, l := range loads {
		l.Stop()
		result, err := l.Wait()
		if err != nil {
			t.Fatal(err)
		}
		counts := result.Total.Counts
		if c.cuts {
			if counts.Refused > 0 {
				t.Errorf("%s: %d were refused", d.Sockets[i].Name, counts.Refused)
			}
			continue
		}
		if err := result.Err(); err != nil {
			t.Errorf("%s: %v", d.Sockets[i].Name, err)
		}
		if d.Kind != KindSocket && counts.Reconnected > 0 {
			t.Errorf("%s: %d kept connections were closed", d.Sockets[i].Name, counts.Reconnected)
		}
	}
}

// startLoad has clients ask on a socket until the test ends.
func startLoad(t *testing.T, m *systemdtest.Machine, s Socket, keepAlive bool) *loadtest.Load {
	t.Helper()
	address := s.Address
	switch {
	case s.Network == "unix":
		address = strings.Replace(address, "%t", "/run/user/0", 1)
	case strings.HasPrefix(address, ":"):
		address = "127.0.0.1" + address
	}
	o := loadtest.Options{
		URL: "http://localhost/", Network: s.Network, Address: address, Dial: m.Dial, Clients: 4, KeepAlive: keepAlive,
		Duration: 10 * time.Minute, Timeout: time.Minute,
	}
	if keepAlive {
		o.PostEvery, o.Check = 2, loadtest.ByMethod(nil, loadtest.Echo)
	}
	l, err := loadtest.Start(t.Context(), o)
	if err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w", s.Network, address, err))
	}
	t.Cleanup(func() {
		l.Stop()
		l.Wait()
	})
	return l
}
