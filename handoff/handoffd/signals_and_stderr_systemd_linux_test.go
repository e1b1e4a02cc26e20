package main

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestSignalsOfAProgram: a program finds its signals as systemd gives them: SIGPIPE
// is ignored (IgnoreSIGPIPE= of systemd.exec(5)), or a client that goes would end it.
func TestSignalsOfAProgram(t *testing.T) {
	const path = "/usr/local/bin/next"
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		m.WriteFile(path, []byte("#!/bin/sh\ngrep ^Sig /proc/self/status >&2\nexec sleep infinity\n"), 0o755)
		const alone = "alone.service"
		m.InstallUnit(alone, "[Service]\nType=exec\nExecStart="+path+"\n")
		begin(t, m, "[Service]\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run --ready alive:100ms -- "+path+"\n")
		m.Systemctl("start", alone)
		signals := func(unit string) string {
			var found []string
			for line := range strings.Lines(m.Journal("-u", unit)) {
				if strings.HasPrefix(line, "Sig") && !strings.HasPrefix(line, "SigQ") {
					found = append(found, strings.Join(strings.Fields(line), " "))
				}
			}
			return strings.Join(found, ", ")
		}
		poll.Until(t, "the signals in the journal", func() bool {
			return strings.Contains(signals(alone), "SigCgt") && strings.Contains(signals(service), "SigCgt")
		})
		if got, want := signals(service), signals(alone); got != want {
			t.Errorf("under handoffd the signals are %s, want %s", got, want)
		}
		m.Systemctl("stop", alone)
	})
}

// TestBrokenStandardError: handoffd goes on where nobody reads what it writes there.
func TestBrokenStandardError(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nExecStart=\nExecStart=/bin/bash -c 'exec /usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http 2> >(true)'\n")
		main := m.Property(service, "MainPID")
		for range 2 {
			m.Systemctl("reload", service)
		}
		if pid := m.Property(service, "MainPID"); pid != main {
			t.Errorf("the main process is %s, and was %s", pid, main)
		}
	})
}
