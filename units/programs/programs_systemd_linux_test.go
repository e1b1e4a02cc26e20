package programs

import (
	"flag"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// long is for what the page says: go test ./units/programs -long.
var long = flag.Bool("long", false, "10 reloads and 5 restarts of each program, its own way too, on 252 and 262")

// debian are the packages of the programs.
var debian = []string{
	"apache2", "caddy", "gunicorn", "haproxy", "lighttpd", "nginx", "nodejs", "openssh-server", "php-fpm", "puma", "starman", "unbound", "unicorn", "uvicorn",
}

// A trial is one program of the table on a machine, behind handoffd and in its own way.
type trial struct {
	program string
	files   map[string]string // by path, before anything starts
	adopted map[string]string // what a person changes in them for handoffd

	// packaged is the unit of the package around which handoffd is put; "" where there is
	// none, and handoffd gets a pair.
	packaged string
	command  []string // what --for is given, in a pair or a drop-in
	ours     string   // where handoffd's sockets are

	// In the program's own way: the text of its unit where it is not the packaged one,
	// and where it listens.
	native  string
	theirs  string
	restart bool // it has no other way to reload

	front     string // the address that clients ask, where it is not that of the program
	frontUnit string // and what answers there

	exchanges []exchange // what clients say who don't speak HTTP

	cuts   bool // it may cut or reset what each client has under way when it stops
	noKept bool // clients that keep their connection would hold all of its workers
}

// TestPrograms: each program of the table takes its sockets from handoffd, and no client
// that comes anew is lost when it is reloaded and restarted under load. With -long the
// program's own way is measured as well.
func TestPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("it boots machines, and -short is set")
	}
	o := systemdtest.Options{Packages: debian, All: []string{"262"}}
	if *long {
		o.All = []string{"252", "262"}
	}
	systemdtest.Run(t, o, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/handoffd", systemdtest.Build(t, "github.com/holdfast-go/holdfast/handoff/handoffd"), 0o755)
		m.InstallFile("/usr/local/bin/goserver", systemdtest.Build(t, "./testdata/goserver"), 0o755)
		for _, c := range trials(m.Version()) {
			t.Run(c.program, func(t *testing.T) { c.run(t, m) })
		}
	})
}

// TestTrials: what the page says was measured is tried here, and the reverse.
func TestTrials(t *testing.T) {
	tried := make(map[string]bool)
	for _, c := range trials(262) {
		tried[c.program] = true
	}
	for _, p := range All() {
		if figures := len(p.Measured) > 0; figures != tried[p.Name] {
			t.Errorf("%s: the table has figures: %t; it is tried: %t", p.Name, figures, tried[p.Name])
		}
		delete(tried, p.Name)
	}
	for name := range tried {
		t.Errorf("%s is tried, and not in the table", name)
	}
}

// So many clients ask on connections of their own, and as many on connections that they
// keep: so many requests a second each.
const (
	clients = 8
	rate    = 150
)

// Who replaces the program.
const (
	handoffd = "handoffd"
	ownWay   = "the program's own way"
)

// What goes on.
const (
	phaseReload  = "reload"
	phaseRestart = "restart"
)

// times is how often a program is reloaded, and restarted.
func times() (reloads, restarts int) {
	if *long {
		return 10, 5
	}
	return 2, 1
}

func (c trial) run(t *testing.T, m *systemdtest.Machine) {
	p, err := Find(c.program)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range c.files {
		m.WriteFile(file, []byte(text), 0o644)
	}
	if c.frontUnit != "" {
		m.InstallUnit("front.service", c.frontUnit)
		m.Systemctl("start", "front.service")
		defer m.Systemctl("stop", "front.service")
	}
	var native Lost
	service := "native.service"
	if c.packaged != "" {
		service = c.packaged
		m.InstallUnit(service+".d/limit.conf", "[Unit]\nStartLimitIntervalSec=0\n") // as few packages have it
	} else if *long {
		m.InstallUnit(service, c.native)
	}
	if *long || c.packaged != "" { // or there is nothing to adopt
		m.Systemctl("start", service)
		c.waitForAnswer(t, m, c.address(c.theirs))
	}
	if *long {
		native = c.replace(t, m, service, c.address(c.theirs), ownWay, !c.restart)
	}
	if c.packaged == "" && *long {
		m.Systemctl("stop", service)
	}
	c.adopt(t, m, p)
	if c.packaged == "" {
		service = p.Name + ".service"
	}
	socket := strings.TrimSuffix(service, ".service") + ".socket"
	left := false
	defer func() {
		if left {
			socket = service
		}
		m.Systemctl("stop", socket, service)
	}()
	ours := c.replace(t, m, service, c.address(c.ours), handoffd, true)
	if *long {
		t.Logf("for measured.go, %q: {%d, %v, %v}", p.Name, m.Version(), source(ours), source(native))
	}
	reloads, restarts := times()
	if text := m.Property(service, "StatusText"); !strings.Contains(text, "serving") {
		t.Errorf("the status is %q", text)
	}
	if text := m.Journal("-u", service); !strings.Contains(text, fmt.Sprintf("generation %d serves", 1+reloads+restarts)) {
		t.Errorf("there were not %d generations:\n%s", 1+reloads+restarts, text)
	}
	allowed := 0
	if c.cuts {
		allowed = clients * (reloads + restarts)
	}
	if c.packaged != "" {
		c.leave(t, m, service, socket)
		left = true
	}
	if lost := ours.New.Reloads + ours.New.Restarts; lost > allowed {
		t.Errorf("requests on connections of their own failed: %v, want at most %d", ours.New, allowed)
	}
}

// address is the one that clients ask.
func (c trial) address(of string) string {
	if c.front != "" {
		return c.front
	}
	return of
}

// adopt puts handoffd around the program, as `handoffd unit --for` would have it.
func (c trial) adopt(t *testing.T, m *systemdtest.Machine, p Program) {
	for file, text := range c.adopted {
		m.WriteFile(file, []byte(text), 0o644)
	}
	d := units.Description{Name: p.Name, Kind: units.KindHandoffd, Systemd: m.Version(), Command: c.command}
	if c.ours != "" {
		network := "tcp"
		if path.IsAbs(c.ours) {
			network = "unix"
		}
		d.Sockets = []units.Socket{{Name: "http", Network: network, Address: c.ours}}
	}
	for _, x := range c.exchanges {
		if x.network == "udp" {
			d.Sockets = append(d.Sockets, units.Socket{Name: "http", Network: "udp", Address: x.address})
		}
	}
	if c.packaged != "" {
		d.Name, d.Kind = strings.TrimSuffix(c.packaged, ".service"), units.KindDropIn
		around, err := units.Parse(c.packaged, m.Output("systemctl", "cat", c.packaged))
		if err != nil {
			t.Fatal(err)
		}
		d.Around = around.Options
	}
	d, err := p.Describe(d)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := units.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range rendered {
		text, err := u.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		m.InstallUnit(u.File, string(text))
	}
	if c.packaged != "" {
		m.Systemctl("restart", c.packaged)
	} else {
		m.Systemctl("start", path.Base(rendered[0].File), d.Name+".service")
	}
	c.waitForAnswer(t, m, c.address(c.ours))
}

// source writes what clients lost as measured.go has it.
func source(l Lost) string {
	of := func(f Failed) string { return fmt.Sprintf("Failed{%d, %d, %d}", f.Reloads, f.Restarts, f.Of) }
	return fmt.Sprintf("Lost{%s, %s}", of(l.New), of(l.Kept))
}

// leave takes handoffd away again, as the drop-in's head says.
func (c trial) leave(t *testing.T, m *systemdtest.Machine, service, socket string) {
	t.Helper()
	m.Systemctl("stop", socket, service)
	names := []string{service + ".d/" + units.DropInFile}
	if c.ours != "" {
		names = append(names, socket)
	}
	for _, name := range names {
		if err := os.Remove(m.Path("/etc/systemd/system/" + name)); err != nil {
			t.Fatal(err)
		}
	}
	for file := range c.adopted {
		m.WriteFile(file, []byte(c.files[file]), 0o644)
	}
	m.DaemonReload()
	m.Systemctl("start", service)
	c.waitForAnswer(t, m, c.address(c.theirs))
	if main := m.Property(service, "MainPID"); m.Output("cat", "/proc/"+main+"/comm") == "handoffd" {
		t.Errorf("the drop-in of %s is gone, and its main process is handoffd", service)
	}
}

// replace reloads and restarts a service under load, and returns what clients lost.
func (c trial) replace(t *testing.T, m *systemdtest.Machine, service, address, who string, reloads bool) (lost Lost) {
	t.Helper()
	var loads []load
	switch {
	case len(c.exchanges) > 0:
		loads = []load{startExchanges(t, m, c.exchanges)}
	default:
		loads = []load{startHTTP(t, m, address, false, who == handoffd)}
		if !c.noKept {
			loads = append(loads, startHTTP(t, m, address, true, who == handoffd && c.front == ""))
		}
	}
	progress := func() {
		t.Helper()
		for _, l := range loads {
			want := l.answered() + 60
			poll.Until(t, "60 more answers", func() bool { return l.answered() >= want })
		}
	}
	progress()
	n, restarts := times()
	for i := range n + restarts {
		phase, verb := phaseReload, "reload"
		if i >= n {
			phase, verb = phaseRestart, "restart"
		} else if !reloads {
			verb = "restart"
		}
		for _, l := range loads {
			l.Mark(phase)
		}
		m.Systemctl(verb, service)
		progress()
	}
	t.Log(who)
	lost.New = loads[0].end(t)
	if len(loads) > 1 {
		lost.Kept = loads[1].end(t)
	}
	return lost
}

// waitForAnswer waits until somebody answers at the address.
func (c trial) waitForAnswer(t *testing.T, m *systemdtest.Machine, address string) {
	t.Helper()
	if len(c.exchanges) > 0 {
		poll.Until(t, "an answer", func() bool { return c.exchanges[0].once(t.Context(), m) == nil })
		return
	}
	poll.Until(t, "an answer from "+address, func() bool {
		l, err := loadtest.Start(t.Context(), loadtest.Options{URL: "http://localhost/", Address: address, Dial: m.Dial, Requests: 1, Check: loadtest.Equals("hello")})
		if err != nil {
			t.Fatal(err)
		}
		result, err := l.Wait()
		return err == nil && result.Err() == nil
	})
}
