package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// slack is how many descriptors handoffd may hold more at one moment than at
// another, such as what a generation stores a moment after it was ready. A leak is
// one for each reload.
const slack = 6

// TestNothingPilesUp: after many reloads under load there is one generation, and
// as much of everything else as after the first.
func TestNothingPilesUp(t *testing.T) {
	const reloads, clients = 100, 32
	onEachSystemd(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "")
		main := m.Property(service, "MainPID")
		group := m.Path("/sys/fs/cgroup" + m.Property(service, "ControlGroup"))
		descriptors := func() int {
			list, err := os.ReadDir(m.Path("/proc/" + main + "/fd"))
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		resident := func() int {
			for line := range strings.Lines(string(m.ReadFile("/proc/" + main + "/status"))) {
				if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
					kib, err := strconv.Atoi(strings.Fields(value)[0])
					if err != nil {
						t.Fatal(err)
					}
					return kib
				}
			}
			t.Fatal("there is no VmRSS")
			return 0
		}
		dying := func() int {
			text, err := os.ReadFile(group + "/cgroup.stat")
			if err != nil {
				t.Fatal(err)
			}
			_, value, _ := strings.Cut(string(text), "nr_dying_descendants ")
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		alone := func() { waitFor(t, "one generation", func() bool { return generations(t, m) == 1 }) }

		o := loadtest.Options{Clients: clients, KeepAlive: true, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
		var before, memory int
		result := underLoad(t, m, o, func(load *loadtest.Load) {
			for i := range reloads {
				progress(t, load, 100)
				m.Systemctl("reload", service)
				if i == 9 {
					alone()
					before, memory = descriptors(), resident()
				}
			}
			progress(t, load, 100)
		})
		c := result.Total.Counts
		if c.Reconnected != 0 || c.Connections != clients {
			t.Errorf("%d clients opened %d connections, %d of them anew", clients, c.Connections, c.Reconnected)
		}
		alone()
		waitFor(t, "the descriptors of before", func() bool { return descriptors() <= before+slack })
		t.Logf("%d reloads, %v: %d descriptors, resident %d KiB after 10 reloads and %d KiB now, %d dying cgroups",
			reloads, c, before, memory, resident(), dying())
		if now := resident(); now > 2*memory {
			t.Errorf("handoffd has grown from %d to %d KiB", memory, now)
		}
		if n := dying(); n > reloads/2 {
			t.Errorf("%d dying cgroups are left", n)
		}
		if pids := strings.Fields(m.Output("sh", "-c", "cat /sys/fs/cgroup"+m.Property(service, "ControlGroup")+"/gen-*/cgroup.procs")); len(pids) != 1 {
			t.Errorf("processes are left: %v", pids)
		}
	})
}
