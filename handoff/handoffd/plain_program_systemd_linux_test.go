package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestPlainProgram: a program that knows nothing of this module but the sockets
// that it inherits loses no request either.
func TestPlainProgram(t *testing.T) {
	const reloads, requests = 6, 200
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/plain", "testdata/plain.py", 0o755)
		for _, ready := range []string{"exec", "alive:300ms"} {
			t.Run(ready, func(t *testing.T) {
				begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run --ready "+ready+" -- /usr/local/bin/plain\n")
				o := loadtest.Options{Clients: 8, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
				underLoad(t, m, o, func(load *loadtest.Load) {
					for range reloads {
						progress(t, load, requests)
						m.Systemctl("reload", service)
					}
					progress(t, load, requests)
				})
				poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
			})
		}
	})
}

// TestPlainGo: a Go server on go-systemd and net/http alone. Nobody is refused, and
// nobody waits in vain. But http.Server.Shutdown loses requests by itself, with or
// without a successor: it closes connections that were accepted and on which no
// request has been read yet, and those that wait for another one, at the moment
// when it comes. So a reload costs each client one request at most.
func TestPlainGo(t *testing.T) {
	const reloads, requests, clients = 6, 500, 8
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile("/usr/local/bin/plain", systemdtest.Build(t, plainGo), 0o755)
		for _, keepAlive := range []bool{false, true} {
			t.Run(fmt.Sprintf("keepAlive=%v", keepAlive), func(t *testing.T) {
				begin(t, m, "[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/plain\n")
				o := loadtest.Options{Clients: clients, KeepAlive: keepAlive, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
				result := counted(t, m, o, func(load *loadtest.Load) {
					for range reloads {
						progress(t, load, requests)
						m.Systemctl("reload", service)
					}
					progress(t, load, requests)
				})
				c := result.Total.Counts
				t.Logf("%d reloads: %v, %d connections", reloads, c, c.Connections)
				if lost := c.Cut + c.Reset; lost != c.Failed() || lost > reloads*clients {
					t.Errorf("want at most %d requests cut or reset, and no other failure: %v", reloads*clients, result.Err())
				}
				poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
			})
		}
	})
}

// TestWithoutDelegation: process groups do where there are no cgroups to be had.
func TestWithoutDelegation(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, dropIn := range []string{"Delegate=no\n", "ProtectControlGroups=yes\n", "Delegate=no\nDynamicUser=no\n"} {
			t.Run(strings.ReplaceAll(dropIn, "\n", " "), func(t *testing.T) {
				begin(t, m, "[Service]\n"+dropIn)
				underLoad(t, m, loadtest.Options{Clients: 8, KeepAlive: true}, func(load *loadtest.Load) {
					for range 3 {
						progress(t, load, 200)
						m.Systemctl("reload", service)
					}
					progress(t, load, 200)
				})
				if text := m.Property(service, "StatusText"); !strings.Contains(text, "process groups") {
					t.Errorf("the status does not tell of process groups: %q", text)
				}
				// What a bad successor leaves in its group ends, too.
				good := m.ReadFile("/usr/local/bin/holdfast-http")
				m.WriteFile("/usr/local/bin/holdfast-http", []byte("#!/bin/sh\nsh -c 'trap \"\" TERM; sleep 4711' &\nexit 4\n"), 0o755)
				if out, err := m.TrySystemctl("reload", service); err == nil {
					t.Errorf("the reload succeeds: %s", out)
				}
				m.WriteFile("/usr/local/bin/holdfast-http", good, 0o755)
				poll.Until(t, "the end of the orphans", func() bool {
					return !strings.Contains(m.Output("ps", "axo", "args"), "sleep 4711")
				})
				m.Systemctl("reload", service)
			})
		}
	})
}
