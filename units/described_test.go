package units

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const watched = 30 * time.Second

// described are the descriptions of the embedded pairs, by their names.
var described = map[string]Description{
	"holdfast-hello": {Kind: KindSocket, Sockets: []Socket{{"http", "tcp", ":8080"}}, Command: []string{"/usr/local/bin/holdfast-hello"}},
	"holdfast-http":  {Kind: KindStore, Sockets: []Socket{{"http", "tcp", ":8080"}}, Command: []string{"/usr/local/bin/holdfast-http"}, Watchdog: watched},
	"holdfast-app":   {Kind: KindHandoffd, Sockets: []Socket{{"http", "tcp", ":8080"}}, Command: []string{"/usr/local/bin/holdfast-http"}, Watchdog: watched},
	"holdfast-app-signal": {
		Kind: KindHandoffdSignal, Systemd: 253, Sockets: []Socket{{"http", "tcp", ":8080"}}, Command: []string{"/usr/local/bin/holdfast-http"}, Watchdog: watched,
	},
	"holdfast-accept": {Kind: KindAccept, Sockets: []Socket{{"echo", "tcp", "127.0.0.1:7"}}, Command: []string{"/bin/cat"}},
	"holdfast-statsd": {
		Kind: KindStore, Sockets: []Socket{{"statsd", "udp", "127.0.0.1:8125"}, {"statsd", "tcp", "127.0.0.1:8126"}},
		Command: []string{"/usr/local/bin/holdfast-statsd"}, Watchdog: watched,
	},
	"holdfast-unix": {Kind: KindStore, Sockets: []Socket{{"http", "unix", "/run/holdfast-unix.sock"}}, Command: []string{"/usr/local/bin/holdfast-http"}, Watchdog: watched},
	"holdfast-two": {
		Kind: KindStore, Sockets: []Socket{{"http", "tcp", ":8080"}, {"admin", "tcp", "127.0.0.1:8081"}},
		Command: []string{"/usr/local/bin/holdfast-two"}, Watchdog: watched,
	},
	"holdfast-user":      {Kind: KindStore, User: true, Sockets: []Socket{{"http", "tcp", "127.0.0.1:8080"}}, Command: []string{"/usr/local/bin/holdfast-http"}, Watchdog: watched},
	"holdfast-container": {Kind: KindContainer, Sockets: []Socket{{"http", "tcp", ":8080"}}, Command: []string{"localhost/holdfast-http"}},
	"holdfast-scgi":      {Kind: KindHandoffd, Sockets: []Socket{{"scgi", "tcp", "127.0.0.1:4000"}}, Command: []string{"/usr/local/bin/holdfast-scgi"}, Watchdog: watched},
	"holdfast-upgrade":   {Kind: KindHandoffd, Sockets: []Socket{{"http", "tcp", ":8083"}}, Command: []string{"/usr/local/bin/holdfast-upgrade"}, Watchdog: watched},
	"holdfast-worker":    {Kind: KindHandoffd, Sockets: []Socket{{"jobs", "tcp", "127.0.0.1:7008"}}, Command: []string{"/usr/local/bin/holdfast-worker"}, Watchdog: watched},
	"holdfast-chat":      {Kind: KindStore, Sockets: []Socket{{"chat", "tcp", ":8081"}}, Command: []string{"/usr/local/bin/holdfast-chat"}, Watchdog: watched},
	"holdfast-starman": {
		Kind: KindHandoffd, Compat: "server-starter", StopSignal: "QUIT", PauseWorkers: 10 * time.Second, Sockets: []Socket{{"http", "tcp", "0.0.0.0:8085"}},
		Command: []string{"/usr/bin/starman", "--preload-app", "--workers", "5", "/srv/holdfast-starman/app.psgi"},
	},
	// Its program drains for 30 s; the pair leaves it a bit more.
	"holdfast-echo":            {Kind: KindStore, DrainTimeout: 40 * time.Second, Store: 64, Sockets: []Socket{{"echo", "tcp", ":7007"}}, Command: []string{"/usr/local/bin/holdfast-echo"}, Watchdog: watched},
	"holdfast-grpc":            {Kind: KindSocket, Sockets: []Socket{{"grpc", "tcp", ":8082"}}, Command: []string{"/usr/local/bin/holdfast-grpc"}, Watchdog: watched},
	"systemd-journal-gatewayd": {Kind: KindDropIn, Ready: "exec", StopSignal: "INT", DrainTimeout: 10 * time.Second, Command: []string{"/lib/systemd/systemd-journal-gatewayd"}},
}

// differs reports whether an option of the pairs need not be as rendered.
func differs(o Option) bool {
	switch o.Name {
	case "Description", "Documentation":
		return true
	case "TimeoutStartSec": // as long as systemd's own default
		return o.Value == "90"
	case "Backlog": // systemd's own default
		return true
	case "LimitNOFILE":
		return true
	}
	return false
}

// statements are what a unit says, sorted.
func statements(u *Unit) []string {
	var all []string
	for _, o := range u.Options {
		if !differs(o) {
			all = append(all, "["+o.Section+"] "+o.Name+"="+o.Value)
		}
	}
	slices.Sort(all)
	return all
}

// TestPairsAreAsRendered: what is embedded and what Render writes is the same
// advice.
func TestPairsAreAsRendered(t *testing.T) {
	left := pairs(t)
	for name, d := range described {
		d.Name = name
		rendered, err := Render(d)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, u := range rendered {
			embedded, err := Parse(u.File, left[u.File])
			if err != nil {
				t.Fatal(err)
			}
			got, want := statements(embedded), statements(u)
			if !slices.Equal(got, want) {
				missing := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return slices.Contains(got, s) })
				extra := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return slices.Contains(want, s) })
				t.Errorf("%s lacks\n%s\nand has\n%s", u.File, strings.Join(missing, "\n"), strings.Join(extra, "\n"))
			}
			delete(left, u.File)
		}
	}
	for name := range left {
		t.Errorf("%s is in no description", name)
	}
}
