package main

import (
	"context"
	"testing"

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
		waitFor(t, "a successor", says(t, m, "starting"))
		kill()
		cmd.Wait()
		waitFor(t, "the verdict", says(t, m, "generation 2 done"))
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
