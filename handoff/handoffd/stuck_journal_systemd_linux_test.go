package main

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// TestJournalHangs: a journal that does not read holds up neither a reload nor the
// watchdog, and is logged to again when it does.
func TestJournalHangs(t *testing.T) {
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nWatchdogSec=10\nRestart=no\n")
		journald := m.Property("systemd-journald.service", "MainPID")
		m.Output("kill", "-STOP", journald)
		goOn := func() { m.Output("kill", "-CONT", journald) }
		defer goOn()
		// It is not enough that it does not read: its queue has to be full, and with
		// lines of others.
		queued := m.Output("python3", "-c", `
import socket
total = 0
while True:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.setblocking(False)
    n = 0
    try:
        while True:
            s.sendto(b'MESSAGE=flood', '/run/systemd/journal/socket')
            n += 1
    except BlockingIOError:
        pass
    if n == 0:
        break
    total += n
print(total)
`)
		t.Logf("%s lines wait", strings.TrimSpace(queued))
		for range 3 {
			if out, err := handoffd(t, m, "reload"); err != nil {
				t.Errorf("the reload fails: %v: %s", err, out)
			}
		}
		if pid, result := m.Property(service, "MainPID"), m.Property(service, "Result"); pid == "0" || result != "success" {
			t.Errorf("the main process is %s, the result %s", pid, result)
		}
		goOn()
		if out, err := handoffd(t, m, "reload"); err != nil {
			t.Errorf("the reload fails: %v: %s", err, out)
		}
		poll.Until(t, "lines in the journal again", func() bool {
			log := m.Journal("-u", service)
			return strings.Contains(log, "lines of this log are lost") && strings.Contains(log, "reload done, generation 5")
		})
	})
}
