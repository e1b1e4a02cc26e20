package main

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// haproxyConfig has two back ends, and asks each every 500 ms whether it is ready,
// which is also how long it waits for the connection.
const haproxyConfig = `
global
	maxconn 1000
	stats socket /run/holdfast-haproxy.sock
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	timeout check 5s
	option redispatch
frontend front
	bind 127.0.0.1:8080
	default_backend back
backend back
	option httpchk GET /ready
	default-server check inter 500ms fall 1 rise 1
	server a 127.0.0.1:8081
	server b 127.0.0.1:8082
`

// TestBehindHAProxy: one of two back ends leaves and comes back, ten times under load,
// and no error reaches a client.
func TestBehindHAProxy(t *testing.T) {
	const times, clients, requests = 10, 16, 200
	o := systemdtest.Options{Packages: []string{"haproxy"}, All: []string{"252", "262"}}
	systemdtest.Run(t, o, func(t *testing.T, m *systemdtest.Machine) {
		install(t, m)
		for name, port := range map[string]int{"a": 8081, "b": 8082} {
			m.InstallUnit(name+".socket", fmt.Sprintf("[Socket]\nListenStream=127.0.0.1:%d\nFileDescriptorName=http\n", port))
			m.InstallUnit(name+".service", strings.Join([]string{
				"[Unit]", "Wants=" + name + ".socket", "After=" + name + ".socket",
				"[Service]", "Type=notify", "ExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http",
				"FileDescriptorStoreMax=65", "Delegate=yes", "KillMode=mixed", "RuntimeDirectory=" + name, "",
			}, "\n"))
		}
		m.WriteFile("/etc/holdfast-haproxy.cfg", []byte(haproxyConfig), 0o644)
		m.InstallUnit("front.service", "[Service]\nType=notify\nExecStart=/usr/sbin/haproxy -Ws -f /etc/holdfast-haproxy.cfg\n")
		m.Systemctl("start", "a.socket", "a.service", "b.socket", "b.service", "front.service")
		result := underLoad(t, m, loadtest.Options{Clients: clients, KeepAlive: true, PostEvery: 2}, func(load *loadtest.Load) {
			verb := func(args ...string) {
				if text, err := handoffd(t, m, args...); err != nil {
					t.Fatalf("%q: %v: %s", args, err, text)
				}
			}
			progress(t, load, requests)
			for range times {
				verb("drain", "--control", "/run/a/control", "--lame-duck", "2s")
				progress(t, load, requests) // by the other
				verb("undrain", "--control", "/run/a/control")
				poll.Until(t, "HAProxy to see a again", func() bool { return up(t, m, "a") })
				progress(t, load, requests)
			}
			// The other one leaves for good.
			verb("drain", "--control", "/run/b/control", "--lame-duck", "2s", "--stop-socket")
			if state := m.Property("b.socket", "ActiveState"); state != "inactive" {
				t.Errorf("b.socket is %s", state)
			}
			if state := m.Property("b.service", "ActiveState"); state != "active" {
				t.Errorf("b.service is %s", state)
			}
			progress(t, load, requests)
		})
		t.Log(result.Total.Counts)
		m.Systemctl("stop", "front.service", "a.socket", "a.service", "b.service")
	})
}

// up reports whether HAProxy sends requests to one of its back ends.
func up(t *testing.T, m *systemdtest.Machine, server string) bool {
	t.Helper()
	c, err := m.Dial(t.Context(), "unix", "/run/holdfast-haproxy.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintln(c, "show stat")
	table, err := csv.NewReader(c).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	status := slices.Index(table[0], "status")
	for _, row := range table {
		if row[0] == "back" && row[1] == server {
			return row[status] == "UP"
		}
	}
	t.Fatalf("HAProxy does not know %s: %v", server, table)
	return false
}
