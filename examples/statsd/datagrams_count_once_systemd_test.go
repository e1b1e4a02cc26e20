package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

func TestEveryDatagramCountsOnce(t *testing.T) {
	cases := []struct {
		name         string
		socket       string // drop-in
		numbers      int64
		replacements int
		drops        bool // the kernel has to drop some
	}{
		{name: "as installed", numbers: 100_000, replacements: 10},
		{name: "short queue", socket: "[Socket]\nReceiveBuffer=8K\n", numbers: 20_000, replacements: 2, drops: true},
	}
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				m.InstallUnit(socket+".d/test.conf", c.socket)
				exampletest.EachWay(t, m, name, func(t *testing.T, way exampletest.Way) {
					r := replaceUnderLoad(t, m, way, c.numbers, c.replacements)
					t.Logf("of %d datagrams %d were counted and %d dropped by the kernel", r.sent, r.counted, r.dropped)
					if c.drops && r.dropped == 0 {
						t.Error("the kernel has dropped none, so this shows nothing of drops")
					}
				})
			})
		}
	})
}

// loaded is what became of the datagrams of a load.
type loaded struct{ sent, counted, dropped int64 }

// replaceUnderLoad replaces the program while datagrams arrive, and fails the test
// unless each of them was counted once or dropped by the kernel.
func replaceUnderLoad(t *testing.T, m *systemdtest.Machine, way exampletest.Way, numbers int64, replacements int) (r loaded) {
	t.Helper()
	ctx := exampletest.Deadline(t)
	before := inspect(t, m)
	q := newQuery(t, ctx, m)
	s := startSender(t, ctx, m, numbers)
	reach := func(goal int64) {
		t.Helper()
		exampletest.WaitFor(t, ctx, fmt.Sprintf("%d datagrams to be sent", goal), func() bool {
			select {
			case err := <-s.result:
				t.Fatalf("the sender ended: %v", err)
			default:
			}
			return s.sent.Load() >= goal
		})
	}
	for i := range replacements {
		reach(int64(i+1) * numbers / int64(replacements+1))
		_, counted := q.counters()
		sent := s.sent.Load()
		way.Replace()
		if s.sent.Load() == sent {
			t.Errorf("%s %d: nothing was sent meanwhile", way.Name, i+1)
		}
		if _, now := q.counters(); now < counted {
			t.Fatalf("%s %d: the counters have gone from %d to %d", way.Name, i+1, counted, now)
		}
	}
	reach(numbers)
	r.sent = s.finish(t)

	var sums map[string]float64
	exampletest.WaitFor(t, ctx, "the last datagrams to be counted or dropped", func() bool {
		sums, r.counted = q.counters()
		after := inspect(t, m)
		if after.inode != before.inode {
			t.Fatalf("the socket is another one: %s was %s", after.inode, before.inode)
		}
		r.dropped = after.drops - before.drops
		return r.counted+r.dropped >= r.sent
	})
	if r.counted+r.dropped != r.sent {
		t.Errorf("of %d datagrams %d were counted and %d dropped by the kernel", r.sent, r.counted, r.dropped)
	}
	for n := range numbers {
		name := counter(n)
		if got, most := sums[name], s.times(n, r.sent); got > float64(most) || r.dropped == 0 && got != float64(most) {
			t.Fatalf("%s was sent %d times and counted %v times", name, most, got)
		}
		delete(sums, name)
	}
	if len(sums) > 0 {
		t.Errorf("what nobody has sent was counted: %v", sums)
	}
	if q.dials != 1 {
		t.Errorf("the HTTP client connected %d times, want once", q.dials)
	}
	return r
}

// The queue that the socket unit asks for is as long as its comment says.
func TestQueue(t *testing.T) {
	const datagrams = 15_000
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		release := exampletest.Hold(m, service)
		m.Systemctl("start", socket)
		ctx := exampletest.Deadline(t)
		udp := dialUDP(t, ctx, m)
		payload := strings.Repeat("n", 96) + ":1|c"
		for range datagrams {
			if _, err := io.WriteString(udp, payload); err != nil {
				t.Fatal(err)
			}
		}
		release()
		q := newQuery(t, ctx, m)
		exampletest.WaitFor(t, ctx, "the datagrams to be counted", func() bool {
			_, counted := q.counters()
			if dropped := inspect(t, m).drops; dropped > 0 {
				t.Fatalf("of %d datagrams of %d bytes the kernel dropped %d", datagrams, len(payload), dropped)
			}
			return counted == datagrams
		})
	})
}

// A client that does not take its answer is cut at the end of the drain timeout,
// and the counters go on.
func TestDrainTimeout(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.InstallUnit(service+".d/test.conf", "[Service]\nExecStart=\nExecStart="+program+" -drain-timeout 1s\n")
		m.Systemctl("start", socket)
		ctx := exampletest.Deadline(t)
		q := newQuery(t, ctx, m)

		// So many that an answer is more than any buffer on the way holds.
		const numbers = 60_000
		udp := dialUDP(t, ctx, m)
		long := strings.Repeat("n", maxName-10)
		for i := range numbers / 100 {
			var datagram strings.Builder
			for j := range 100 {
				fmt.Fprintf(&datagram, "%s%d:1|c\n", long, 100*i+j)
			}
			if _, err := io.WriteString(udp, datagram.String()); err != nil {
				t.Fatal(err)
			}
		}
		exampletest.WaitFor(t, ctx, "the counters", func() bool {
			_, counted := q.counters()
			return counted == numbers
		})

		conn, err := m.Dial(ctx, "tcp", httpAddress)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: test\r\n\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil { // the answer has begun
			t.Fatal(err)
		}
		exampletest.Restart(t, m, service)
		if rest, err := io.ReadAll(conn); len(rest) >= numbers*maxName {
			t.Errorf("the client has got the whole answer (%d bytes, error %v): nothing was cut", len(rest), err)
		}
		if log := m.Journal("-u", service); !strings.Contains(log, "cut off at the end of the drain") {
			t.Errorf("the log does not say that something was cut:\n%s", log)
		}
		if _, counted := q.counters(); counted != numbers {
			t.Errorf("%d are counted after the restart, want %d", counted, numbers)
		}
	})
}

// The socket outlives a crash: what arrives before the next process is there
// counts, though what was counted before is gone.
func TestCrash(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.Systemctl("start", socket)
		ctx := exampletest.Deadline(t)
		udp := dialUDP(t, ctx, m)
		for round := range 3 {
			const datagrams = 10
			for range datagrams {
				if _, err := io.WriteString(udp, "n:1|c"); err != nil {
					t.Fatal(err)
				}
			}
			exampletest.WaitFor(t, ctx, "the datagrams to be counted", func() bool {
				_, counted := newQuery(t, ctx, m).counters()
				return counted == datagrams
			})
			pid := m.Property(service, "MainPID")
			m.Systemctl("kill", "--signal=KILL", service)
			exampletest.WaitFor(t, ctx, fmt.Sprintf("the end of process %s in round %d", pid, round), func() bool {
				return m.Property(service, "MainPID") != pid
			})
		}
	})
}

// A program that cannot start, again and again, loses its clients nothing: the
// socket stays, and waits for one that can.
func TestCrashLoop(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		m.InstallUnit(service+".d/test.conf", "[Service]\nExecStart=\nExecStart=/bin/false\n")
		m.Systemctl("start", socket)
		ctx := exampletest.Deadline(t)
		before := inspect(t, m)
		s := startSender(t, ctx, m, 1)
		exampletest.WaitFor(t, ctx, "the third restart", func() bool {
			n, err := strconv.Atoi(m.Property(service, "NRestarts"))
			return err == nil && n >= 3
		})
		sent := s.finish(t)
		if state := m.Property(socket, "ActiveState"); state != "active" {
			t.Fatalf("the socket is %s, want active", state)
		}
		m.InstallUnit(service+".d/test.conf", "")
		m.Systemctl("restart", service)
		q := newQuery(t, ctx, m)
		exampletest.WaitFor(t, ctx, "the datagrams to be counted or dropped", func() bool {
			_, counted := q.counters()
			return counted+inspect(t, m).drops-before.drops == sent
		})
	})
}

func TestWithoutSystemd(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{}, func(t *testing.T, m *systemdtest.Machine) {
		exampletest.Install(t, m, name)
		p := exampletest.Start(t, m, program)
		ctx := exampletest.Deadline(t)
		exampletest.WaitFor(t, ctx, "the program to listen", func() bool {
			conn, err := m.Dial(ctx, "tcp", httpAddress)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		udp := dialUDP(t, ctx, m)
		if _, err := io.WriteString(udp, "n:1|c|@0.5"); err != nil {
			t.Fatal(err)
		}
		q := newQuery(t, ctx, m)
		exampletest.WaitFor(t, ctx, "the datagram to be counted", func() bool {
			sums, _ := q.counters()
			return sums["n"] == 2
		})
		if err := p.Terminate(); err != nil {
			t.Error(err)
		}
	})
}
