package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/poll"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// slack is how many descriptors handoffd may hold more at one moment than at
// another, such as what a generation stores a moment after it was ready. A leak is
// one for each reload.
const slack = 6

// growth is by how much handoffd may be larger after many reloads than after some,
// in KiB.
const growth = 3 << 10

// TestReloadsByTheClock: a reload every half a second, a hundred times, loses no
// client a request or its connection. After it there is one generation, and as
// much of everything else as after the first ten.
func TestReloadsByTheClock(t *testing.T) {
	const (
		reloads  = 100
		every    = 500 * time.Millisecond
		requests = 50_000
		clients  = 32 // half of which keep their connections
	)
	onTwoSystemds(t, func(t *testing.T, m *systemdtest.Machine) {
		begin(t, m, "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- /usr/local/bin/holdfast-http -start-delay 300ms\n")
		main := m.Property(service, "MainPID")
		alone := func() { t.Helper(); poll.Until(t, "one generation", func() bool { return generations(t, m) == 1 }) }

		var before, memory int
		reload := func(kept, fresh *loadtest.Load) {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for i := 0; i < reloads || kept.Counts().OK+fresh.Counts().OK < requests; i++ {
				<-tick.C
				m.Systemctl("reload", service)
				if pid := m.Property(service, "MainPID"); pid != main {
					t.Fatalf("after reload %d the main PID is %s, was %s", i+1, pid, main)
				}
				if i == 9 {
					alone()
					before, memory = descriptors(t, m, main), resident(t, m, main)
				}
			}
		}
		began := time.Now()
		o := loadtest.Options{Clients: clients / 2, PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo)}
		var kept *loadtest.Result
		fresh := underLoad(t, m, o, func(fresh *loadtest.Load) {
			o.KeepAlive = true
			kept = underLoad(t, m, o, func(kept *loadtest.Load) { reload(kept, fresh) })
		})
		t.Logf("%v of reloads: %v; %v", time.Since(began).Round(time.Second), kept.Total.Counts, fresh.Total.Counts)

		if c := kept.Total.Counts; c.Reconnected != 0 || c.Connections != clients/2 {
			t.Errorf("%d clients opened %d connections, %d of them anew", clients/2, c.Connections, c.Reconnected)
		}
		alone()
		// One that did not take over all would have had a client reconnect.
		poll.Until(t, "the number of carried connections", func() bool { return statusOf(t, m).Generations[0].Carried >= clients/2 })
		pid := serving(t, m)
		if got := processes(t, m); len(got) != 2 || !slices.Contains(got, main) || !slices.Contains(got, pid) {
			t.Errorf("the service has the processes %v, want %s and %s alone", got, main, pid)
		}
		poll.Until(t, "the descriptors of before", func() bool { return descriptors(t, m, main) <= before+slack })
		poll.Until(t, "a generation without clients", func() bool { return descriptors(t, m, pid) < clients })
		now, left := resident(t, m, main), dying(t, m)
		t.Logf("handoffd: %d descriptors, %d KiB after 10 reloads and %d KiB now, %d dying cgroups", before, memory, now, left)
		if now > memory+growth {
			t.Errorf("handoffd has grown from %d to %d KiB", memory, now)
		}
		if left > reloads/10 {
			t.Errorf("%d dying cgroups are left", left)
		}
	})
}

// processes returns the PIDs of the service's processes, in all its cgroups.
func processes(t testing.TB, m *systemdtest.Machine) []string {
	t.Helper()
	group := "/sys/fs/cgroup" + m.Property(service, "ControlGroup")
	return strings.Fields(m.Output("sh", "-c", "cat "+group+"/cgroup.procs "+group+"/*/cgroup.procs"))
}

// descriptors returns how many a process has.
func descriptors(t testing.TB, m *systemdtest.Machine, pid string) int {
	t.Helper()
	list, err := os.ReadDir(m.Path("/proc/" + pid + "/fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// resident returns how much memory a process has, in KiB.
func resident(t testing.TB, m *systemdtest.Machine, pid string) int {
	t.Helper()
	return number(t, string(m.ReadFile("/proc/"+pid+"/status")), "VmRSS:")
}

// dying returns how many cgroups of the service were removed and are not gone.
func dying(t testing.TB, m *systemdtest.Machine) int {
	t.Helper()
	stat := m.ReadFile("/sys/fs/cgroup" + m.Property(service, "ControlGroup") + "/cgroup.stat")
	return number(t, string(stat), "nr_dying_descendants")
}

// number returns the number that follows a key at the start of a line.
func number(t testing.TB, text, key string) int {
	t.Helper()
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != key {
			continue
		}
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return n
	}
	t.Fatalf("there is no %s in %q", key, text)
	return 0
}
