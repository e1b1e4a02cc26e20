package notify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// sendHelper sends its arguments as fields, in turn. Two are not what they say:
// "pause" waits longer than two seconds, and MAINPIDFD=1 goes with the pidfd of a
// new child.
func sendHelper(args []string) error {
	n, err := managed()
	if err != nil {
		return err
	}
	defer n.Close()
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "pause":
			time.Sleep(2500 * time.Millisecond)
		case "MAINPIDFD":
			err = sendPidfd(ctx, n)
		default:
			err = n.Send(ctx, notify.Field{Key: key, Value: value})
		}
		if err != nil {
			return err
		}
	}
	return n.Barrier(ctx)
}

func sendPidfd(ctx context.Context, n *notify.Notifier) error {
	child, err := sleeper()
	if err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(child.Process.Pid, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(pidfd), "pidfd")
	defer f.Close()
	return errors.Join(
		n.SendFiles(ctx, []syscall.Conn{f}, notify.Field{Key: "MAINPIDFD", Value: "1"}),
		n.Send(ctx, notify.Status(fmt.Sprintf("child %d", child.Process.Pid))),
	)
}

// send is a command line that sends fields from within a unit.
func send(fields ...string) string {
	return "/usr/bin/env " + helpertest.Variable + "=send " + program + " " + strings.Join(fields, " ")
}

func TestFieldsUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		// Ready only after the time it had at first.
		m.InstallUnit("slow.service", unit("send", []string{"EXTEND_TIMEOUT_USEC=60000000", "pause", "READY=1"},
			"Type=notify", "TimeoutStartSec=2", "RemainAfterExit=yes"))
		m.Systemctl("start", "slow.service")

		m.InstallUnit("restart.service", unit("service", nil, "Type=notify", "Restart=always", "RestartSec=0"))
		m.Systemctl("start", "restart.service")
		m.Systemctl("kill", "-s", "KILL", "restart.service")
		await(t, m, "restart.service", "NRestarts", "1")
		await(t, m, "restart.service", "SubState", "running")
		m.Systemctl("kill", "-s", "WINCH", "restart.service")
		await(t, m, "restart.service", "StatusText", "reset") // unknown assignments harm none
		if m.Version() >= 258 {
			await(t, m, "restart.service", "NRestarts", "0")
		}
		if m.Version() >= 257 {
			m.InstallUnit("pidfd.service", unit("service", nil, "Type=notify", "NotifyAccess=all", "ExecReload="+send("MAINPIDFD=1")))
			m.Systemctl("start", "pidfd.service")
			m.Systemctl("reload", "pidfd.service")
			if got, want := m.Property("pidfd.service", "StatusText"), "child "+m.Property("pidfd.service", "MainPID"); got != want {
				t.Errorf("StatusText is %q, want %q", got, want)
			}
		}
	})
}

// WATCHDOG=trigger has the manager act as if the watchdog had run out.
func TestWatchdogTriggerUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("trigger.service", unit("service", nil, "Type=notify", "NotifyAccess=all", "ExecReload="+send("WATCHDOG=trigger")))
		m.Systemctl("start", "trigger.service")
		_, _ = m.TrySystemctl("reload", "trigger.service") // it may be cut short
		await(t, m, "trigger.service", "Result", "watchdog")
	})
}
