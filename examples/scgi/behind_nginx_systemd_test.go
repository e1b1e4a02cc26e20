package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	name    = "holdfast-scgi"
	service = name + ".service"
	program = "/usr/local/bin/" + name
)

// site is what a web server needs to know. It asks nobody else when the answer is
// not right.
const site = `server {
	listen 127.0.0.1:8080;
	location / {
		include scgi_params;
		scgi_pass 127.0.0.1:4000;
	}
}
`

// A front is nginx with the service behind it, and a load on it.
type front struct {
	t       *testing.T
	m       *systemdtest.Machine
	ctx     context.Context
	program []byte // the service's, as it was built
	number  int    // of the build that was installed last
	newest  atomic.Int64
}

// startFront starts nginx and the service, with these flags.
func startFront(t *testing.T, m *systemdtest.Machine, flags string) *front {
	t.Helper()
	built, err := os.ReadFile(systemdtest.Build(t, "."))
	if err != nil {
		t.Fatal(err)
	}
	f := &front{t: t, m: m, ctx: exampletest.Deadline(t), program: built}
	exampletest.Install(t, m, name)
	exampletest.InstallHandoffd(t, m)
	m.InstallUnit(service+".d/test.conf", "[Service]\nExecStart=\nExecStart=/usr/local/bin/handoffd run -- "+program+" "+flags+"\n")
	m.WriteFile("/etc/nginx/conf.d/scgi.conf", []byte(site), 0o644)
	m.Systemctl("start", name+".socket", service, "nginx.service")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the service says:\n%s\nnginx says:\n%s", m.Journal("-u", service), m.ReadFile("/var/log/nginx/error.log"))
		}
		m.Systemctl("stop", name+".socket", service, "nginx.service")
	})
	return f
}

// install puts another build where the program is.
func (f *front) install() {
	f.t.Helper()
	f.number++
	old, next := []byte(version), fmt.Appendf(nil, "build %04d", f.number)
	if !bytes.Contains(f.program, old) || len(old) != len(next) {
		f.t.Fatalf("the program does not hold %q", old)
	}
	f.m.WriteFile(program, bytes.ReplaceAll(f.program, old, next), 0o755)
}

var greeting = regexp.MustCompile(`^build (\d{4}) worker \d+ request \d+\n$`)

// check notes the newest build of which there is an answer.
func (f *front) check(_ loadtest.Request, a loadtest.Answer) error {
	found := greeting.FindSubmatch(a.Body)
	if found == nil {
		return fmt.Errorf("the body is %.60q", a.Body)
	}
	number, err := strconv.ParseInt(string(found[1]), 10, 64)
	for {
		newest := f.newest.Load()
		if err != nil || number <= newest || f.newest.CompareAndSwap(newest, number) {
			return err
		}
	}
}

// awaitNewest waits for an answer of the build that was installed last.
func (f *front) awaitNewest() {
	f.t.Helper()
	exampletest.WaitFor(f.t, f.ctx, fmt.Sprintf("an answer of build %d", f.number), func() bool { return f.newest.Load() == int64(f.number) })
}

// checkWorker sees that a worker was given nothing by which it could speak for the
// service.
func (f *front) checkWorker() {
	f.t.Helper()
	pid := strings.Fields(f.m.Output("pgrep", "-f", program+" worker"))[0]
	for _, variable := range []string{"NOTIFY_SOCKET=", "WATCHDOG_", "HANDOFF_", "FDSTORE="} {
		if environ := f.m.Output("cat", "/proc/"+pid+"/environ"); strings.Contains(environ, variable) {
			f.t.Errorf("a worker has %s: %q", variable, environ)
		}
	}
}

// refuse installs a program that does not work, and sees that the old one goes on,
// and the next one takes its place.
func (f *front) refuse() {
	f.t.Helper()
	f.m.WriteFile(program, []byte("#!/bin/false\n"), 0o755)
	pid := exampletest.Serving(f.t, f.m, service)
	f.m.Output("kill", "-HUP", pid)
	exampletest.WaitFor(f.t, f.ctx, "the verdict on a bad program", func() bool {
		return strings.Contains(f.m.Journal("-u", service), "new worker: worker")
	})
	if out, err := f.m.TrySystemctl("reload", service); err == nil {
		f.t.Errorf("a reload to a bad program succeeds: %s", out)
	}
	f.install()
	f.m.Output("kill", "-HUP", pid)
	f.awaitNewest()
}

// TestBehindNginx: the workers are replaced every second and all of it every five,
// and nginx has an answer for each of its clients.
func TestBehindNginx(t *testing.T) {
	const rate, clients, reloadEvery = 200, 16, 5
	systemdtest.Run(t, systemdtest.Options{Packages: []string{"nginx"}, All: []string{"252", "262"}}, func(t *testing.T, m *systemdtest.Machine) {
		for _, c := range []struct {
			name, flags string
			rounds      int
		}{
			{"dispatch", "-workers 4 -warm 50ms -work 10ms", 10},
			{"share", "-share -workers 4 -warm 50ms -work 10ms", 5},
		} {
			t.Run(c.name, func(t *testing.T) {
				f := startFront(t, m, c.flags)
				load, err := loadtest.Start(f.ctx, loadtest.Options{
					URL: "http://127.0.0.1:8080/", Dial: m.Dial, Clients: clients, Rate: rate, KeepAlive: true, PostEvery: 2,
					Check: loadtest.ByMethod(f.check, loadtest.Echo), Duration: exampletest.Timeout, Timeout: time.Minute,
				})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					load.Stop()
					load.Wait()
				}()
				pids := map[string]bool{}
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for round := range c.rounds {
					<-tick.C
					f.install()
					pid := exampletest.Serving(t, m, service)
					if (round+1)%reloadEvery == 0 {
						m.Systemctl("reload", service)
					} else {
						m.Output("kill", "-HUP", pid)
					}
					pids[pid] = true
					f.awaitNewest()
				}
				f.checkWorker()
				f.refuse()
				m.Systemctl("restart", service)
				load.Stop()
				result, err := load.Wait()
				if err != nil {
					t.Fatal(err)
				}
				if err := result.Err(); err != nil {
					t.Error(err)
				}
				latency := result.Total.Latency
				t.Logf("%d replacements, %d dispatchers: %v; p50 %v, p99 %v, max %v", c.rounds, len(pids), result.Total.Counts,
					latency.Percentile(50), latency.Percentile(99), latency.Max())
				if want := int64(c.rounds) * rate / 4; result.Total.Counts.OK < want {
					t.Errorf("%d requests were answered, want at least %d", result.Total.Counts.OK, want)
				}
				if want := c.rounds / reloadEvery; len(pids) != want {
					t.Errorf("%d dispatchers have served, want %d", len(pids), want)
				}
				if log := string(m.ReadFile("/var/log/nginx/error.log")); strings.Contains(log, "[error]") || strings.Contains(log, "upstream") {
					t.Errorf("nginx has seen errors:\n%s", log)
				}
			})
		}
	})
}
