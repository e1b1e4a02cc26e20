package notify_test

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// runs is how often a process sends and exits at once.
const runs = 200

// flashHelper stores one file, says READY, waits for the barrier and exits.
func flashHelper(args []string) error {
	n, err := managed()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), poll.Patience)
	defer cancel()
	f, err := newMemfd(args[0])
	if err != nil {
		return err
	}
	if err := n.Store(ctx, "flash", f); err != nil {
		return err
	}
	if err := n.Send(ctx, notify.Ready(), notify.Status(args[0])); err != nil {
		return err
	}
	return n.Barrier(ctx)
}

// parentHelper runs that as a child, again and again.
func parentHelper([]string) error {
	for i := range runs {
		c := exec.Command(program, strconv.Itoa(i+1))
		c.Env = helpertest.Environ("flash")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("child %d: %w: %s", i+1, err, out)
		}
	}
	return nil
}

// A child that sends and exits at once is attributed to the unit each time:
// NotifyAccess=all lets it speak, and the barrier keeps it there until the
// manager has looked it up. All is done when the main process exits.
func TestBarrierOfChildrenUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("children.service", unit("parent", nil, "Type=oneshot", "RemainAfterExit=yes",
			"NotifyAccess=all", fmt.Sprint("FileDescriptorStoreMax=", 2*runs), "TimeoutStartSec=300"))
		m.Systemctl("start", "children.service")
		if got := m.Property("children.service", "NFileDescriptorStore"); got != strconv.Itoa(runs) {
			t.Errorf("%s of %d messages counted", got, runs)
		}
		if got := m.Property("children.service", "StatusText"); got != strconv.Itoa(runs) {
			t.Errorf("the last status is %q, want %d", got, runs)
		}
	})
}

// A main process that says READY and exits at once has started each time.
func TestBarrierOfMainProcessUnderSystemd(t *testing.T) {
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		m.InstallUnit("ready@.service", unit("flash", []string{"%i"}, "Type=notify", "RemainAfterExit=yes"))
		const batch = 20
		for first := 1; first <= runs; first += batch {
			args := []string{"start"}
			for i := range batch {
				args = append(args, fmt.Sprintf("ready@%d.service", first+i))
			}
			m.Systemctl(args...)
		}
		out := m.Output("systemctl", "list-units", "--no-legend", "--plain", "--state=active", "ready@*.service")
		if got := len(strings.Split(out, "\n")); got != runs {
			t.Errorf("%d of %d units are active", got, runs)
		}
	})
}
