package units

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRenderRefuses: what no pair can say is an error that names it.
func TestRenderRefuses(t *testing.T) {
	http := Socket{"http", "tcp", ":80"}
	for _, c := range []struct {
		err  string
		with func(d *Description)
	}{
		{`the kind "inetd": want one of [handoffd`, func(d *Description) { d.Kind = "inetd" }},
		{`the name "app/": want letters`, func(d *Description) { d.Name = "app/" }},
		{`the name "app.service": want it without .service`, func(d *Description) { d.Name = "app.service" }},
		{`the name "app.socket": want it without .socket`, func(d *Description) { d.Name = "app.socket" }},
		{`socket "b": the address ":80" clashes with "127.0.0.1:80" of socket "a"`, func(d *Description) {
			d.Sockets = []Socket{{"a", "tcp", "127.0.0.1:80"}, {"u", "udp", ":80"}, {"b", "tcp", ":80"}}
		}},
		{`the address "/run//a" clashes with "/run/a"`, func(d *Description) {
			d.Sockets = []Socket{{"a", "unix", "/run/a"}, {"a", "unixgram", "/run//a"}}
		}},
		{`want at most 107 bytes`, func(d *Description) { d.Sockets = []Socket{{"a", "unix", "/" + strings.Repeat("x", 107)}} }},
		{`systemd 246: want 247 or later`, func(d *Description) { d.Systemd = 246 }},
		{`takes systemd 253 or later, and the units are to work with 252`, func(d *Description) { d.Kind, d.Systemd = KindHandoffdSignal, 252 }},
		{`ready "soon"`, func(d *Description) { d.Ready = "soon" }},
		{`ready "alive:0s": want a duration above 0`, func(d *Description) { d.Ready = "alive:0s" }},
		{`ready "accept": only handoffd waits for it`, func(d *Description) { d.Kind, d.Ready = KindStore, "accept" }},
		{`ready "alive:1s": only handoffd waits for it`, func(d *Description) { d.Kind, d.Ready = KindStore, "alive:1s" }},
		{`the stop signal "quit"`, func(d *Description) { d.StopSignal = "quit" }},
		{`a watchdog is for a program that sends WATCHDOG=1`, func(d *Description) { d.Watchdog, d.Ready = time.Second, "exec" }},
		{`a store of 4097 descriptors`, func(d *Description) { d.Store = maxStore + 1 }},
		{`a store is for the kind store`, func(d *Description) { d.Kind, d.Store = KindSocket, 1 }},
		{`handoffd "bin/handoffd": want an absolute path`, func(d *Description) { d.Handoffd = "bin/handoffd" }},
		{`the drain timeout -1s`, func(d *Description) { d.DrainTimeout = -time.Second }},
		{`the ready timeout 1.5ms`, func(d *Description) { d.ReadyTimeout = 1500 * time.Microsecond }},
		{`paths that stay: only handoffd`, func(d *Description) { d.Kind, d.Unlinks = KindSocket, true }},
		{`the name "app@1": want letters`, func(d *Description) { d.Name = "app@1" }},
		{`the name "@1": want letters`, func(d *Description) { d.Kind, d.Name = KindDropIn, "@1" }},
		{`the name "app@1@2": want letters`, func(d *Description) { d.Kind, d.Name = KindDropIn, "app@1@2" }},
		{`the name "app@1": the sockets of an instance are one unit`, func(d *Description) {
			d.Kind, d.Name, d.Sockets = KindDropIn, "app@1", []Socket{http, {"admin", "unix", "/run/admin"}}
		}},
		{`what a unit around says is for the kind drop-in`, func(d *Description) { d.Around = []Option{{Section: "Service", Name: "Type", Value: "forking"}} }},
		{`handoffd "/root/bin/handoffd": the unit has ProtectHome=yes, which hides it`, func(d *Description) {
			d.Kind, d.Handoffd, d.Around = KindDropIn, "/root/bin/handoffd", []Option{{Section: "Service", Name: "ProtectHome", Value: "yes"}}
		}},
		{`handoffd "/opt/x/handoffd": the unit has InaccessiblePaths=/opt, which hides it`, func(d *Description) {
			d.Kind, d.Handoffd, d.Around = KindDropIn, "/opt/x/handoffd", []Option{{Section: "Service", Name: "InaccessiblePaths", Value: "-/opt /srv"}}
		}},
		{`no socket: want at least one`, func(d *Description) { d.Sockets = nil }},
		{`socket "": the name may have`, func(d *Description) { d.Sockets = []Socket{{"", "tcp", ":80"}} }},
		{`socket "a:b": the name may have`, func(d *Description) { d.Sockets = []Socket{{"a:b", "tcp", ":80"}} }},
		{`socket "dns": the kind accept takes connections, and udp has none`, func(d *Description) { d.Kind, d.Sockets = KindAccept, []Socket{{"dns", "udp", ":53"}} }},
		// Several socket units would need Service=: TestAcceptRefusesService.
		{`the kind accept has one socket unit, since with Accept=yes there is no Service=, and these are the names of several: ["http" "admin"]: want a pair for each`, func(d *Description) {
			d.Kind, d.Sockets = KindAccept, []Socket{http, {"admin", "unix", "/run/admin"}}
		}},
	} {
		d := Description{Name: "app", Kind: KindHandoffd, Sockets: []Socket{http}, Command: []string{"/bin/app"}}
		c.with(&d)
		if rendered, err := Render(d); err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "units: ") {
			t.Errorf("%v, error %v, want %q", rendered, err, c.err)
		}
	}
}

// TestRenderAccept: the socket units of Accept=yes never name a service.
func TestRenderAccept(t *testing.T) {
	rendered, err := Render(Description{Name: "app", Kind: KindAccept, Sockets: []Socket{{"a", "tcp", ":80"}, {"a", "unix", "/run/a"}}, Command: []string{"/bin/app"}})
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(rendered[0].Options, func(o Option) bool { return o.Name == "Service" }) {
		t.Errorf("the socket unit names a service: %v", rendered[0].Options)
	}
}

// TestClashes: each of these was bound, or not, by systemd 262 in one socket unit.
func TestClashes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{":80", ":80", true}, {":80", ":81", false}, {":80", "0.0.0.0:80", true}, {":80", "[::1]:80", true},
		{"0.0.0.0:80", "127.0.0.1:80", true}, {"0.0.0.0:80", "[::1]:80", false}, {"127.0.0.1:80", "127.0.0.2:80", false},
	} {
		a, b := Socket{"a", "tcp", c.a}, Socket{"b", "tcp", c.b}
		if a.clashes(b) != c.want || b.clashes(a) != c.want {
			t.Errorf("%s and %s: %v, want %v", c.a, c.b, !c.want, c.want)
		}
	}
}
