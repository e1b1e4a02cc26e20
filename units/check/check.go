package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

// The oldest and the newest systemd whose options are known here.
const (
	Oldest = 247
	Newest = 262
)

// Options says for which machine units are checked. The zero value works.
type Options struct {
	// Systemd is the version that the units are meant for, such as 252; 0 is Newest.
	Systemd int

	// SomaxConn is net.core.somaxconn there, which bounds every Backlog=; 0 is
	// Linux's own default, 4096.
	SomaxConn int
}

// Check returns what is wrong with the pairs, the gravest first.
func Check(pairs []*Pair, o Options) []Finding {
	if o.Systemd == 0 {
		o.Systemd = Newest
	}
	if o.SomaxConn == 0 {
		o.SomaxConn = 4096
	}
	var sockets []*Unit
	var aimed []*Pair
	known := make(map[string]bool) // two pairs may share a socket
	aim := aimer(o.Systemd)
	for _, p := range pairs {
		p = p.aimed(aim)
		aimed = append(aimed, p)
		for _, s := range p.Sockets {
			if !known[s.Name] {
				sockets = append(sockets, s)
			}
			known[s.Name] = true
		}
	}
	clashes, names := overlaps(sockets), ruleNames()
	var findings []Finding
	seen := make(map[[4]string]bool)
	for _, p := range aimed {
		c := &checker{Pair: p, Options: o, clashes: clashes, ids: names, daemon: findDaemon(p.Service)}
		for _, r := range rules() {
			c.rule = r
			r.check(c)
		}
		c.silence()
		for _, f := range c.findings {
			key := [4]string{f.Rule, f.Unit, fmt.Sprintf("%s:%d", f.File, f.Line), f.Reason}
			if !seen[key] { // of a socket that two pairs share
				findings = append(findings, *f)
			}
			seen[key] = true
		}
	}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return findings
}

// checker is what the rules look at, and where they report to.
type checker struct {
	*Pair
	Options
	clashes  map[string][]overlap // of the addresses of all pairs that are checked together
	daemon   *daemon              // handoffd, if the service runs it
	rule     Rule
	findings []*Finding
	guesses  int             // at what options are meant
	ids      map[string]bool // of all rules
}

// report adds a finding about the option at, of the unit u. The reason is a
// sentence without its full stop, and so is the mend.
func (c *checker) report(u *Unit, at units.Option, reason, mend string) *Finding {
	f := &Finding{
		Rule: c.rule.ID, Severity: c.rule.Severity, Unit: u.Name, File: at.File, Line: at.Line,
		Reason: reason, Mend: mend, Man: c.rule.Man, Issues: c.rule.Threads(),
	}
	c.findings = append(c.findings, f)
	return f
}

// already reports whether one of these rules has found something in the pair.
func (c *checker) already(rules ...string) bool {
	return slices.ContainsFunc(c.findings, func(f *Finding) bool { return slices.Contains(rules, f.Rule) })
}

// set adds a line to the drop-in that mends the finding.
func (f *Finding) set(section, name, value string) *Finding {
	f.Fix = append(f.Fix, Assign{Unit: f.Unit, Section: section, Name: name, Value: value})
	return f
}

// service is the pair's service, where systemd would load and start it; or nil.
func (c *checker) service() *Unit {
	if c.Service == nil || c.Service.Masked || c.Service.broken != nil {
		return nil
	}
	return c.Service
}

// sockets are the socket units that systemd would load.
func (c *checker) sockets() (all []*Unit) {
	for _, s := range c.Sockets {
		if !s.Masked && s.broken == nil {
			all = append(all, s)
		}
	}
	return all
}

// listening are the sockets that the service itself inherits: Accept=no.
func (c *checker) listening() (all []*Unit) {
	for _, s := range c.sockets() {
		if !accepts(s) {
			all = append(all, s)
		}
	}
	return all
}

// reached are those of listening that clients may reach: FIFOs, devices and netlink have
// none.
func (c *checker) reached() (all []*Unit) {
	for _, s := range c.listening() {
		addresses, _ := addresses(s)
		if len(addresses) == 0 || slices.ContainsFunc(addresses, func(a address) bool {
			return a.kind == "Stream" || a.kind == "Datagram" || a.kind == "SequentialPacket"
		}) {
			all = append(all, s)
		}
	}
	return all
}

// accepts reports whether a socket unit accepts connections itself.
func accepts(socket *Unit) bool {
	_, yes := socket.yes("Socket", "Accept")
	return yes
}

// serviceType is Type=, or what it is where it is not set.
func serviceType(u *Unit) (string, units.Option) {
	at, _ := u.last("Service", "Type")
	if at.Value != "" {
		return at.Value, at
	}
	if o, ok := u.last("Service", "BusName"); ok {
		return "dbus", o
	}
	if o, ok := u.last("Service", "ExecStart"); ok {
		return "simple", o
	}
	return "oneshot", at
}

// notifies reports whether the service has to say when it is ready.
func notifies(u *Unit) bool {
	t, _ := serviceType(u)
	return strings.HasPrefix(t, "notify")
}

// start is the service's main command.
func start(u *Unit) (command, units.Option) {
	all := u.list("Service", "ExecStart")
	if len(all) == 0 {
		return command{}, units.Option{}
	}
	at := all[len(all)-1]
	return parseCommand(at.Value), at
}

// text is the file that u makes.
func text(u *units.Unit) string {
	b, err := u.MarshalText()
	if err != nil { // the fixes of this package are all of one line
		return "# " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
	}
	return string(b)
}
