package handoff_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/handoff"
	"github.com/holdfast-go/holdfast/handoff/parcel"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// echoUnit is a service without a socket unit, so that its listener is in the
// store, and with a state.
func echoUnit(state int, more string, settings ...string) string {
	app := fmt.Sprintf(`{"Echo":"127.0.0.1:8080","State":%d%s}`, state, more)
	return service(app, append(settings, "Restart=on-failure", "RestartSec=0")...)
}

func dialer(t *testing.T, m *systemdtest.Machine) func() (net.Conn, error) {
	return func() (net.Conn, error) { return m.Dial(t.Context(), "tcp", "127.0.0.1:8080") }
}

// settled checks that the listener serves, and that the store holds nothing but
// it and the manifest.
func settled(t *testing.T, m *systemdtest.Machine) {
	t.Helper()
	handoff.Connect(t, dialer(t, m), 1)
	poll.UntilEqual(t, "what the store holds, the listener and the manifest", "2", func() string {
		return m.Property("app.service", "NFileDescriptorStore")
	})
}

// TestKilledUnderSystemd kills a generation while it drains, and while the next
// one takes over. Nobody is left waiting, the port stays, and what the dead
// generation had not in its hands goes on.
func TestKilledUnderSystemd(t *testing.T) {
	const n = 300 // two messages
	const file = "/run/crash"
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, c := range []struct {
			point       string
			alive, most int
			report      error // of the next generation
		}{
			{"drain", 0, n, nil},
			{"carry", 0, n - 1, parcel.ErrTruncated},
			{"save", n, n, nil},
			{"exit", n, n, nil},
			{"open", n, n, nil},
			{"load", n, n, nil},
			{"adopt", 1, n - 1, parcel.ErrTaken},
		} {
			t.Run(c.point, func(t *testing.T) {
				m.InstallUnit("app.service", echoUnit(1, fmt.Sprintf(`,"Crash":%q,"CrashFile":%q`, c.point, file)))
				m.Systemctl("start", "app.service")
				clients := handoff.Connect(t, dialer(t, m), n)
				m.WriteFile(file, nil, 0o644)
				began := m.Output("date", "+%s.%N")
				m.TrySystemctl("restart", "app.service") // the start fails where it dies before READY
				alive := handoff.Step(t, clients)
				if alive < c.alive || alive > c.most {
					t.Errorf("%d of %d connections went on, want %d to %d", alive, n, c.alive, c.most)
				}
				settled(t, m)
				log := m.Journal("-u", "app.service", "--since", "@"+began)
				if !strings.Contains(log, "status=9/KILL") {
					t.Errorf("nobody was killed:\n%s", log)
				}
				if c.report != nil && !strings.Contains(log, c.report.Error()) {
					t.Errorf("the next generation did not report %q:\n%s", c.report, log)
				}
				t.Logf("%d of %d connections went on", alive, n)
				m.Systemctl("stop", "app.service")
				m.TrySystemctl("reset-failed", "app.service")
			})
		}
	})
}

// TestDowngradeUnderSystemd: a state that an older program cannot read waits for
// the newer one, and each says so.
func TestDowngradeUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		for _, version := range []int{2, 1, 2} {
			m.InstallUnit("app.service", echoUnit(version, ""))
			m.Systemctl("restart", "app.service")
			handoff.Connect(t, dialer(t, m), 1)
		}
		awaitJournal(t, m, "loaded 0 of version 2", 1)
		log := m.Journal("-u", "app.service")
		for _, want := range []string{"kept for a later generation", handoff.ErrStateVersion.Error()} {
			if !strings.Contains(log, want) {
				t.Errorf("nobody said %q:\n%s", want, log)
			}
		}
	})
}

// TestFileLimitsUnderSystemd: connections go on where the program may open no
// more files than it has, and where the next one may not open enough for all,
// which leaves the rest.
func TestFileLimitsUnderSystemd(t *testing.T) {
	const n = 300
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		start := func(limit int) {
			m.InstallUnit("app.service", echoUnit(1, "", fmt.Sprintf("LimitNOFILE=%d", limit)))
			m.Systemctl("restart", "app.service")
		}
		start(n + 30)
		clients := handoff.Connect(t, dialer(t, m), n)
		for range 40 { // some of these take the last descriptors, the others wait
			c, err := dialer(t, m)()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		start(100)
		start(2 * n)
		if alive := handoff.Step(t, clients); alive != n {
			t.Errorf("%d of %d connections went on", alive, n)
		}
		settled(t, m)
		log := m.Journal("-u", "app.service")
		if want := parcel.LimitFiles + " is 100"; !strings.Contains(log, want) {
			t.Errorf("nobody said %q:\n%s", want, log)
		}
	})
}

// TestStuckUnderSystemd: a function of the program that does not return holds up
// neither a stop nor a reload for longer than its time, though systemd is asked to
// wait until all is done.
func TestStuckUnderSystemd(t *testing.T) {
	exe := systemdtest.BuildTest(t)
	systemdtest.Run(t, systemdtest.Options{All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile(program, exe, 0o755)
		stuck := func(ended func() bool) {
			t.Helper()
			defer func() {
				if t.Failed() {
					t.Logf("the service says:\n%s", m.Journal("-u", "app.service"))
					m.TrySystemctl("kill", "-s", "KILL", "app.service")
				}
			}()
			poll.Until(t, "it ends", ended)
		}
		state := func(want string) func() bool {
			return func() bool { return m.Property("app.service", "ActiveState") == want }
		}
		m.InstallUnit("app.service", echoUnit(1, `,"DrainTimeout":500000000,"Crash":"stuck save"`, "TimeoutStopSec=1"))
		m.Systemctl("start", "app.service")
		clients := handoff.Connect(t, dialer(t, m), 3)
		m.Systemctl("restart", "--no-block", "app.service")
		stuck(func() bool { return strings.Contains(m.Journal("-u", "app.service"), "it does not return") })
		stuck(state("active"))
		if alive := handoff.Step(t, clients); alive != len(clients) {
			t.Errorf("%d of %d connections went on", alive, len(clients))
		}
		m.Systemctl("stop", "--no-block", "app.service")
		stuck(state("failed"))
		m.Systemctl("reset-failed", "app.service")
		if m.Version() < 253 {
			return // has no Type=notify-reload
		}
		m.InstallUnit("app.service", echoUnit(0, `,"ReloadTimeout":500000000,"Reload":"stuck"`, "Type=notify-reload"))
		m.Systemctl("start", "app.service")
		for _, want := range []string{"it does not return", "has not returned since the last reload"} {
			m.Systemctl("reload", "--no-block", "app.service")
			stuck(func() bool { return strings.Contains(m.Property("app.service", "StatusText"), want) })
			stuck(state("active"))
		}
		m.Systemctl("stop", "app.service")
	})
}
