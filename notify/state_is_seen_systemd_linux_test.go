package notify_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// program is where the test binary stands inside a machine.
const program = "/usr/bin/notify.test"

// onEachSystemd runs f on a machine of each systemd under test, with the test
// binary installed.
func onEachSystemd(t *testing.T, f func(t *testing.T, m *systemdtest.Machine)) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: boots machines")
	}
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallFile(program, systemdtest.BuildTest(t), 0o755)
		f(t, m)
	})
}

// unit writes a service whose process is the helper with its arguments.
func unit(helper string, args []string, settings ...string) string {
	return "[Unit]\nStartLimitIntervalSec=0\n[Service]\nEnvironment=" + helpertest.Variable + "=" + helper +
		"\nExecStart=" + program + " " + strings.Join(args, " ") + "\n" + strings.Join(settings, "\n") + "\n"
}

// await polls a property until it has the value.
func await(t *testing.T, m *systemdtest.Machine, service, property, want string) {
	t.Helper()
	poll.UntilEqual(t, property+" of "+service, want, func() string { return m.Property(service, property) })
}

// oddStatus ends in a backslash, which not doubled would swallow what follows.
const oddStatus = `serving "C:\`

// serviceHelper is ready at once and then does as its signals say: HUP reloads
// (unless the argument is "mute"), USR1 stops answering the watchdog, USR2 names
// a child the main process, WINCH resets the restart counter, INT announces the stop with its reason, TERM ends.
func serviceHelper(args []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGINT, unix.SIGTERM)
	n, err := managed()
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ill := make(chan struct{})
	watched := make(chan error, 1)
	go func() {
		watched <- n.Watchdog(ctx, func(context.Context) error {
			select {
			case <-ill:
				return errors.New("ill")
			default:
				return nil
			}
		})
	}()
	if err := n.Send(ctx, notify.Status(oddStatus), notify.Ready()); err != nil {
		return err
	}
	reloads := 0
	for sig := range signals {
		var err error
		switch sig {
		case unix.SIGHUP:
			if len(args) > 0 && args[0] == "mute" {
				continue
			}
			reloads++
			err = errors.Join(n.Reloading(ctx), n.Statusf("reload %d", reloads), n.ExtendTimeout(ctx, poll.Patience), n.Ready(ctx))
		case unix.SIGUSR1:
			close(ill)
		case unix.SIGUSR2:
			var child *exec.Cmd
			if child, err = sleeper(); err == nil {
				err = errors.Join(n.Statusf("child %d", child.Process.Pid), n.Send(ctx, notify.MainPID(child.Process.Pid)))
			}
		case unix.SIGWINCH:
			err = errors.Join(n.Send(ctx, notify.Field{Key: "RESTART_RESET", Value: "1"}), n.Status("reset"))
		case unix.SIGINT:
			err = errors.Join(n.Send(ctx, notify.Errno(unix.ENOSPC)), n.Status("leaving"), n.Stopping(ctx))
		case unix.SIGTERM:
			cancel()
			return <-watched
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sleeper starts a child that stays in the unit.
func sleeper() (*exec.Cmd, error) {
	c := exec.Command("/bin/sleep", "1000")
	return c, c.Start()
}

func TestStateUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("state.service", unit("service", nil, "Type=notify", "KillMode=mixed"))
		m.Systemctl("start", "state.service")
		// READY arrived, or start would have failed, and so did what stood before.
		if got := m.Property("state.service", "StatusText"); got != oddStatus {
			t.Errorf("StatusText is %q, want %q", got, oddStatus)
		}
		pid := m.Property("state.service", "MainPID")
		m.Systemctl("kill", "--kill-who=main", "-s", "USR2", "state.service")
		poll.Until(t, "MainPID is no longer "+pid, func() bool { return m.Property("state.service", "MainPID") != pid })
		if got, want := m.Property("state.service", "StatusText"), "child "+m.Property("state.service", "MainPID"); got != want {
			t.Errorf("StatusText is %q, want %q: the status goes before what follows it", got, want)
		}
		m.Systemctl("stop", "state.service")

		m.InstallUnit("stopping.service", unit("service", nil, "Type=notify"))
		m.Systemctl("start", "stopping.service")
		m.Systemctl("kill", "-s", "INT", "stopping.service")
		await(t, m, "stopping.service", "ActiveState", "deactivating")
		await(t, m, "stopping.service", "StatusText", "leaving")
		await(t, m, "stopping.service", "StatusErrno", strconv.Itoa(int(unix.ENOSPC)))
		// From here on systemd sends no SIGTERM, also when asked to stop it: the
		// service said that it ends by itself.
		m.Systemctl("kill", "-s", "TERM", "stopping.service")
		await(t, m, "stopping.service", "ActiveState", "inactive")
		await(t, m, "stopping.service", "Result", "success")
	})
}

func TestWatchdogUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("watched.service", unit("service", nil, "Type=notify", "WatchdogSec=6"))
		m.Systemctl("start", "watched.service")
		seen := map[string]bool{}
		poll.Until(t, "four pings are seen", func() bool {
			seen[m.Property("watched.service", "WatchdogTimestampMonotonic")] = true
			return len(seen) >= 4 // longer than the watchdog's time
		})
		if got := m.Property("watched.service", "ActiveState"); got != "active" {
			t.Fatalf("it is %s although it pinged", got)
		}
		m.Systemctl("kill", "-s", "USR1", "watched.service")
		await(t, m, "watched.service", "Result", "watchdog")
	})
}

func TestReloadUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		const exec = "ExecReload=/bin/kill -HUP $MAINPID"
		m.InstallUnit("reload.service", unit("service", nil, "Type=notify", exec))
		m.InstallUnit("mute.service", unit("service", []string{"mute"}, "Type=notify", exec))
		m.Systemctl("start", "reload.service", "mute.service")
		for i := range 3 {
			m.Systemctl("reload", "reload.service")
			// The reload command may return before RELOADING is there.
			await(t, m, "reload.service", "StatusText", "reload "+strconv.Itoa(i+1))
			await(t, m, "reload.service", "ActiveState", "active")
		}
		m.Systemctl("reload", "mute.service") // says nothing, hangs nobody
		await(t, m, "mute.service", "ActiveState", "active")

		if m.Version() < 253 {
			return // no Type=notify-reload
		}
		m.InstallUnit("notify-reload.service", unit("service", nil, "Type=notify-reload"))
		m.InstallUnit("notify-mute.service", unit("service", []string{"mute"}, "Type=notify-reload", "TimeoutStartSec=3"))
		m.Systemctl("start", "notify-reload.service", "notify-mute.service")
		for i := range 3 {
			m.Systemctl("reload", "notify-reload.service")
			if got, want := m.Property("notify-reload.service", "StatusText"), "reload "+strconv.Itoa(i+1); got != want {
				t.Errorf("reload returned at %q, want %q", got, want)
			}
		}
		if out, err := m.TrySystemctl("reload", "notify-mute.service"); err == nil {
			t.Errorf("a reload without RELOADING was called done: %s", out)
		}
		if got := m.Property("notify-mute.service", "ActiveState"); got != "active" {
			t.Errorf("after it the service is %s, want active", got)
		}
	})
}
