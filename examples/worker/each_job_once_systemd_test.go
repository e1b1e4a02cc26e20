package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	name    = "holdfast-worker"
	service = name + ".service"
	program = "/usr/local/bin/" + name

	jobs    = 50_000
	reloads = 20
)

// A site is a machine with the service.
type site struct {
	t    *testing.T
	m    *systemdtest.Machine
	ctx  context.Context
	next []byte // the program's version 2
}

func startSite(t *testing.T, m *systemdtest.Machine, flags string) site {
	t.Helper()
	next := exampletest.Release(t, "-X main.version=2")
	exampletest.Install(t, m, name)
	exampletest.InstallHandoffd(t, m)
	m.InstallUnit(service+".d/test.conf", "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- "+program+" -watchdog 1s "+flags+"\n")
	m.Systemctl("start", name+".socket", service)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the service says:\n%s", m.Journal("-u", service, "-n", "100"))
		}
		m.Systemctl("stop", name+".socket", service)
	})
	return site{t, m, exampletest.Deadline(t), next}
}

// workers returns the PIDs of the workers that serve.
func (s site) workers() []string {
	s.t.Helper()
	return strings.Fields(s.m.Output("pgrep", "-P", exampletest.Serving(s.t, s.m, service)))
}

// refuse sees that a program that does not work is undone.
func (s site) refuse() {
	s.t.Helper()
	s.m.WriteFile(program, []byte("#!/bin/false\n"), 0o755)
	before := exampletest.Serving(s.t, s.m, service)
	if _, err := s.m.TrySystemctl("reload", service); err == nil {
		s.t.Error("the reload to a program that does not work succeeds")
	}
	if after := exampletest.Serving(s.t, s.m, service); after != before {
		s.t.Errorf("process %s served before a reload that failed, and %s does after it", before, after)
	}
}

// signal sends a signal to a worker that serves, and returns its PID.
func (s site) signal(name string) (pid string) {
	s.t.Helper()
	pid = s.workers()[0]
	s.m.Output("kill", "-"+name, pid)
	return pid
}

// awaitReplaced waits until a worker has ended as the log says, and there is another.
func (s site) awaitReplaced(pid, how string) {
	s.t.Helper()
	exampletest.WaitFor(s.t, s.ctx, fmt.Sprintf("worker %s: %s", pid, how), func() bool {
		return strings.Contains(s.m.Journal("-u", service), fmt.Sprintf("worker %s: %s", pid, how))
	})
	exampletest.WaitFor(s.t, s.ctx, "another worker", func() bool {
		workers := s.workers()
		return len(workers) == 4 && !slices.Contains(workers, pid)
	})
}

// mishap is what happens between two reloads of a test.
func (s site) mishap(reload int) {
	s.t.Helper()
	switch reload {
	case 4:
		for range 50 {
			s.awaitReplaced(s.signal("KILL"), "signal: killed")
			if s.jobsAgain() > 0 {
				return
			}
		}
		s.t.Fatal("none of 50 workers that were killed had a job")
	case 8:
		s.awaitReplaced(s.signal("STOP"), "no heartbeat")
	case 12:
		s.signal("STOP") // and the reload is on
	case 16:
		s.refuse()
		s.awaitReplaced(s.signal("KILL"), "signal: killed") // by one of the version that serves
		s.m.WriteFile(program, s.next, 0o755)
	}
}

// jobsAgain returns how many jobs had a worker that ended.
func (s site) jobsAgain() int {
	s.t.Helper()
	return strings.Count(s.m.Journal("-u", service), "a job is done again")
}

// TestEachJobOnce has jobs done while the program is replaced, workers are killed and
// hang, and a new version comes that does not work.
func TestEachJobOnce(t *testing.T) {
	systemdtest.Run(t, systemdtest.Options{All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		s := startSite(t, m, "")
		asking := exampletest.Dial(t, m, address)
		lines := bufio.NewReader(asking)
		version := func() string {
			fmt.Fprintln(asking, "v version")
			answer, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		if v := version(); v != "v ok 1\n" {
			t.Errorf("at first: %q", v)
		}
		const clients, underWay = 8, 16
		var conns []net.Conn
		for range clients {
			conns = append(conns, exampletest.Dial(t, m, address))
		}
		l := startLoad(conns, underWay)
		for i := range reloads {
			l.progress(t, jobs/(reloads+1))
			s.mishap(i)
			exampletest.Reload(t, m, service)
		}
		l.progress(t, jobs/(reloads+1))
		l.check(t, jobs)
		t.Logf("%d jobs were done again", s.jobsAgain())
		if v := version(); v != "v ok 2\n" {
			t.Errorf("at last, on a connection of before all reloads: %q", v)
		}
		// Across a restart the connections are in the store.
		m.Systemctl("restart", service)
		if v := version(); v != "v ok 2\n" {
			t.Errorf("after a restart: %q", v)
		}
	})
}
