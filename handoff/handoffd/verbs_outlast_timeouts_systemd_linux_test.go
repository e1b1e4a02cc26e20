package main

import (
	"context"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestCallerGoes: a reload goes on without the one who asked for it, and its
// verdict is kept.
func TestCallerGoes(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http -start-delay 2s\n")
		ctx, kill := context.WithCancel(t.Context())
		defer kill()
		cmd := m.Command(ctx, "/usr/local/bin/handoffd", "reload", "--control", "/run/holdfast-app/control")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		poll.Until(t, "a successor", says(t, m, "starting"))
		kill()
		cmd.Wait()
		poll.Until(t, "the verdict", says(t, m, "generation 2 done"))
	})
}

// TestLongReload: a reload, and a start, may take longer than TimeoutStartSec=.
// handoffd has its own time limit.
func TestLongReload(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nTimeoutStartSec=2s\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http -start-delay 3s\n")
		m.Systemctl("reload", service)
		if state := m.Property(service, "ActiveState"); state != "active" {
			t.Errorf("the service is %s, want active", state)
		}
	})
}

// TestLongStop: a stop in the middle of a reload, or while the service leaves the
// rotation, may take longer than TimeoutStopSec=.
func TestLongStop(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		const path = "/usr/local/bin/slow"
		m.WriteFile(path, []byte("#!/bin/sh\ntrap 'sleep 5; exit 0' TERM\nwhile true; do sleep 0.1; done\n"), 0o755)
		for name, before := range map[string]func(t *testing.T){
			"reload": func(t *testing.T) {
				if out, err := handoffd(t, m, "reload", "--hold"); err != nil {
					t.Fatalf("reload --hold: %v: %s", err, out)
				}
			},
			"drain": func(t *testing.T) {
				ctx, kill := context.WithCancel(t.Context())
				drain := m.Command(ctx, "/usr/local/bin/handoffd", "drain", "--control", "/run/holdfast-app/control")
				if err := drain.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					kill()
					drain.Wait()
				})
				poll.Until(t, "the generation to be told to end", says(t, m, "draining"))
			},
		} {
			t.Run(name, func(t *testing.T) {
				begin(t, m, "[Service]\nTimeoutStopSec=4s\nExecStart=\nExecStart=/usr/local/bin/handoffd run --ready alive:500ms -- "+path+"\n")
				before(t)
				m.Systemctl("stop", socket, service)
				if result := m.Property(service, "Result"); result != "success" {
					t.Errorf("the result is %s:\n%s", result, m.Journal("-u", service))
				}
			})
		}
	})
}
