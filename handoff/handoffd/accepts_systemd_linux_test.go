package main

import (
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	gunicorn    = "#!/bin/sh\nexec /usr/bin/gunicorn --chdir /srv -w 2 app:app\n"
	gunicornApp = "def app(environ, start_response):\n    start_response('STATUS', [('Content-Length', '5')])\n    return [b'hello']\n"
	// A program that says READY=1 first, and then does something else.
	saysReady = "#!/usr/bin/python3\nimport os, socket, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.connect(os.environ['NOTIFY_SOCKET'])\ns.send(b'READY=1')\n"
)

// TestAccepts: what says READY=1, or is started, and serves nobody is undone with its
// reason, and no client notices: gunicorn, which says so before its workers have loaded
// the application, a program that listens elsewhere, and one that never accepts.
func TestAccepts(t *testing.T) {
	packages := []string{"gunicorn", "systemd-journal-remote", "unicorn", "uuid-runtime"} // as TestDropIn of package units
	onSystemds(t, systemdtest.Options{Packages: packages, All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		const program = "/usr/local/bin/next"
		app := func(status string) {
			m.WriteFile("/srv/app.py", []byte(strings.ReplaceAll(gunicornApp, "STATUS", status)), 0o644)
		}
		app("200 OK")
		m.WriteFile(program, []byte(gunicorn), 0o755)
		begin(t, m, "[Service]\nRestrictAddressFamilies=AF_NETLINK\nWatchdogSec=0\nExecStart=\nExecStart=/usr/local/bin/handoffd run --accept-timeout 15s --probe http://localhost/ -- "+program+"\n")
		undone := func(reasons ...string) {
			t.Helper()
			if out, err := m.TrySystemctl("reload", service); err == nil {
				t.Errorf("the reload succeeds: %s", out)
			}
			status, err := handoffd(t, m, "status")
			if err != nil {
				t.Fatalf("%v: %s", err, status)
			}
			for _, text := range append(reasons, "undone", "serving") {
				if !strings.Contains(status, text) {
					t.Errorf("the status does not say %q:\n%s", text, status)
				}
			}
			poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 })
		}
		o := loadtest.Options{Clients: 4, Check: loadtest.Equals("hello")}
		underLoad(t, m, o, func(load *loadtest.Load) {
			progress(t, load, 100)
			m.WriteFile("/srv/broken.py", []byte("def app(\n"), 0o644)
			m.WriteFile(program, []byte(strings.ReplaceAll(gunicorn, "app:app", "broken:app")), 0o755)
			undone("exit status")
			// How much gunicorn says after it differs: the last lines may lack it.
			if log := m.Journal("-u", service); !strings.Contains(log, "SyntaxError") {
				t.Errorf("the journal does not say why:\n%s", log)
			}
			progress(t, load, 100)
			m.WriteFile(program, []byte(gunicorn), 0o755)
			m.Systemctl("reload", service)
			progress(t, load, 100)
			m.WriteFile(program, []byte(saysReady+"l = socket.create_server(('127.0.0.1', 9999))\nl.accept()\n"), 0o755)
			undone("15s after READY=1 it holds [::]:8080 and does not wait on it; listens on 127.0.0.1:9999 itself")
			m.WriteFile(program, []byte(saysReady+"time.sleep(1000)\n"), 0o755)
			undone("15s after READY=1 it holds [::]:8080 and does not wait on it\n")
			progress(t, load, 100)
			m.WriteFile(program, []byte(gunicorn), 0o755)
			m.Systemctl("reload", service)
			progress(t, load, 100)
		})
		// Without load: until it is undone, such a one answers as well as the other.
		app("500 Sorry")
		undone("probe http://localhost/ at [::]:8080: it answered 500 Sorry")
	})
}
