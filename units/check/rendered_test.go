package check

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
)

// TestRenderedPairs: what units.Render makes passes, for each kind and systemd.
func TestRenderedPairs(t *testing.T) {
	for _, kind := range units.Kinds {
		if kind == units.KindDropIn { // part of a unit that is there
			continue
		}
		for _, version := range []int{247, 252, 257, 262} {
			if kind == units.KindHandoffdSignal && version < 253 {
				continue
			}
			d := units.Description{
				Name: "app", Kind: kind, Command: []string{"/usr/local/bin/app"}, Systemd: version,
				Sockets: []units.Socket{{Name: "http", Network: "tcp", Address: ":8080"}, {Name: "admin", Network: "unix", Address: "/run/app.sock"}},
			}
			if kind == units.KindAccept {
				d.Sockets = d.Sockets[:1]
			}
			rendered, err := units.Render(d)
			if err != nil {
				t.Errorf("%s: %v", kind, err)
				continue
			}
			all := make(files)
			var sockets []string
			for _, u := range rendered {
				text, err := u.MarshalText()
				if err != nil {
					t.Fatal(err)
				}
				name := path.Base(u.File)
				all[name] = string(text)
				if strings.HasSuffix(name, ".socket") {
					sockets = append(sockets, name)
				}
			}
			pairs, err := Load(Folders{Dirs: []string{write(t, all)}}, sockets...)
			if err != nil || len(pairs) == 0 || pairs[0].Service == nil {
				t.Errorf("%s: %d pairs: %v", kind, len(pairs), err)
				continue
			}
			for _, f := range Check(pairs, Options{Systemd: version}) {
				t.Errorf("%s for systemd %d: %v\n%s", kind, version, f, all[path.Base(f.File)])
			}
		}
	}
}

// TestRenderedFlags: so does what it makes of the sockets and flags that there are.
func TestRenderedFlags(t *testing.T) {
	sockets := [][]units.Socket{
		{{Name: "http", Network: "tcp", Address: ":8080"}},
		{{Name: "http", Network: "tcp", Address: "127.0.0.1:8080"}, {Name: "https", Network: "tcp", Address: "[::1]:8443"}},
		{{Name: "admin", Network: "unix", Address: "/run/app/admin.sock"}},
		{{Name: "admin", Network: "unix", Address: "%t/app/admin.sock"}, {Name: "other", Network: "unix", Address: "@app"}},
		{{Name: "dns", Network: "udp", Address: ":8053"}, {Name: "dns", Network: "tcp", Address: ":8053"}},
		{{Name: "log", Network: "unixgram", Address: "/run/app.log"}},
	}
	seen := 0
	for _, kind := range []units.Kind{units.KindHandoffd, units.KindHandoffdSignal, units.KindStore, units.KindSocket} {
		for _, all := range sockets {
			for _, user := range []bool{false, true} {
				for _, d := range []units.Description{
					{}, {Ready: "exec"}, {Ready: "alive:2s"}, {Compat: "server-starter"}, {Compat: "einhorn", StopSignal: "QUIT"}, {StopSignal: "RTMIN+3", PauseWorkers: 5 * time.Second}, {Watchdog: 20 * time.Second}, {Store: 3, DrainTimeout: 5 * time.Second, ReadyTimeout: time.Minute},
				} {
					d.Name, d.Kind, d.Sockets, d.User, d.Command, d.Systemd = "app", kind, all, user, []string{"/usr/local/bin/app", "--verbose"}, 257
					rendered, err := units.Render(d)
					if err != nil { // not every kind has every flag
						continue
					}
					seen++
					files := make(files)
					for _, u := range rendered {
						text, err := u.MarshalText()
						if err != nil {
							t.Fatal(err)
						}
						files[path.Base(u.File)] = string(text)
					}
					pairs, err := Load(Folders{Dirs: []string{write(t, files)}, User: user}, "app.service")
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range Check(pairs, Options{Systemd: 257}) {
						if f.Rule != "type-simple" { // which --ready exec says of itself
							t.Errorf("%+v: %v", d, f)
						}
					}
				}
			}
		}
	}
	if seen < 200 {
		t.Errorf("%d pairs", seen)
	}
}

// TestRenderedDropIn: what units.Render puts around a service mends all that handoffd
// needs.
func TestRenderedDropIn(t *testing.T) {
	rendered, err := units.Render(units.Description{Name: "app", Kind: units.KindDropIn, Ready: "exec", Command: []string{"/usr/local/bin/app"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := rendered[0].MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	c := ruleCase{base: "plain", bad: files{"app.service": "[Service]\nExecStart=/usr/local/bin/app\n", "app.service.d/handoffd.conf": string(text)}}
	if findings := c.run(t, c.over(c.bad)); len(findings) > 0 {
		t.Errorf("%v\n%s", findings, text)
	}
}
