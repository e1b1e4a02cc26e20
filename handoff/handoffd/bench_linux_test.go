package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/notify/notifytest"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

// BenchmarkReload measures what handoffd adds to the time that a program takes to
// start: reload-ms is from the call to the verdict, start-ms from the program's
// start without handoffd to its READY=1, and more-ms the difference, all of them
// medians. Then it lets handoffd rest: MiB is its resident memory, idle-ticks what
// the kernel charges it for (proc_pid_stat(5)) and idle-wakeups how often any of
// its threads gave the processor back, in idleTime.
//
//	go test -run '^$' -bench Reload -benchtime 50x ./handoff/handoffd
func BenchmarkReload(b *testing.B) {
	for _, c := range []struct{ name, settings string }{
		{"bare", ""},
		{"restricted", "RestrictNamespaces=yes\n"}, // no generation can be made in its cgroup
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkReload(b, c.settings) })
	}
}

func benchmarkReload(b *testing.B, settings string) {
	m := systemdtest.Boot(b, systemdtest.Options{})
	install(b, m)
	m.InstallUnit(service, bare)
	begin(b, m, "[Service]\n"+settings)
	client, err := control.Dial(b.Context(), m.Path("/run/holdfast-app/control"))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	var starts, reloads []time.Duration
	for b.Loop() {
		starts = append(starts, startAlone(b))
		began := time.Now()
		if _, err := client.Reload(b.Context(), control.ReloadRequest{}); err != nil {
			b.Fatal(err)
		}
		reloads = append(reloads, time.Since(began))
		waitFor(b, "one generation", func() bool {
			s, err := client.Status(b.Context())
			return err == nil && len(s.Generations) == 1
		})
	}
	start, reload := median(starts), median(reloads)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(start, "start-ms")
	b.ReportMetric(reload, "reload-ms")
	b.ReportMetric(reload-start, "more-ms")

	main := m.Property(service, "MainPID")
	b.ReportMetric(float64(resident(b, m, main))/1024, "MiB")
	time.Sleep(settleTime)
	ticks, wakeups := processor(b, m, main)
	time.Sleep(idleTime)
	ticksThen, wakeupsThen := processor(b, m, main)
	b.ReportMetric(float64(ticksThen-ticks), "idle-ticks")
	b.ReportMetric(float64(wakeupsThen-wakeups), "idle-wakeups")
}

const (
	idleTime   = 10 * time.Second
	settleTime = 12 * time.Second // more than a generation takes until it counts as sound
)

// startAlone has the program start, and returns how long it took to be ready.
func startAlone(b *testing.B) time.Duration {
	manager := notifytest.New(b)
	cmd := exec.Command(systemdtest.Build(b, httpProgram), "-listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.Socket())
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	manager.WaitFor(b.Context(), "READY=1")
	took := time.Since(began)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

// median returns that of durations, in ms.
func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2]) / float64(time.Millisecond)
}

// processor returns what a process has used in clock ticks, and how often its
// threads have waited.
func processor(b *testing.B, m *systemdtest.Machine, pid string) (ticks, waits int) {
	b.Helper()
	folder := m.Path("/proc/" + pid)
	stat, err := os.ReadFile(folder + "/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, text := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	threads, err := filepath.Glob(folder + "/task/*/status")
	if err != nil || len(threads) == 0 {
		b.Fatalf("the threads of process %s: %v", pid, err)
	}
	for _, path := range threads {
		status, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		waits += number(b, string(status), "voluntary_ctxt_switches:")
	}
	return ticks, waits
}

// BenchmarkRequests compares a program under handoffd with the same program alone,
// as a socket-activated service of the same systemd: req/s and p99-ms are under
// handoffd, and times-alone and p99-times-alone their ratios. Rounds of both take
// turns; the clients share the processors with the servers.
//
//	go test -run '^$' -bench Requests -benchtime 10x ./handoff/handoffd
func BenchmarkRequests(b *testing.B) {
	const aloneAddress = "127.0.0.1:8081"
	m := systemdtest.Boot(b, systemdtest.Options{})
	install(b, m)
	m.InstallUnit(service, bare)
	m.InstallUnit("alone.socket", "[Socket]\nListenStream="+aloneAddress+"\nFileDescriptorName=http\nBacklog=4096\n")
	m.InstallUnit("alone.service", "[Service]\nType=notify\nExecStart=/usr/local/bin/holdfast-http\nNonBlocking=yes\n")
	m.Systemctl("start", "alone.socket", "alone.service")
	begin(b, m, "")
	for _, keepAlive := range []bool{true, false} {
		b.Run(fmt.Sprintf("keepalive=%v", keepAlive), func(b *testing.B) {
			const clients, requests = 32, 5000
			rounds := make(map[string][]loadtest.Phase)
			round := func(address string) {
				r, err := loadtest.Run(b.Context(), loadtest.Options{
					URL: "http://localhost/", Address: address, Dial: m.Dial, Clients: clients, Requests: requests, KeepAlive: keepAlive,
				})
				if err == nil {
					err = r.Err()
				}
				if err != nil {
					b.Fatal(err)
				}
				rounds[address] = append(rounds[address], r.Total)
			}
			both := []string{address, aloneAddress}
			for b.Loop() {
				for _, a := range both {
					round(a)
				}
				slices.Reverse(both)
			}
			rate := func(p loadtest.Phase) float64 { return float64(p.Counts.OK) / p.Elapsed.Seconds() }
			p99 := func(p loadtest.Phase) float64 { return p.Latency.Percentile(99).Seconds() * 1000 }
			under, alone := loadtest.Merge("under handoffd", rounds[address]...), loadtest.Merge("alone", rounds[aloneAddress]...)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rate(under), "req/s")
			b.ReportMetric(rate(under)/rate(alone), "times-alone")
			b.ReportMetric(p99(under), "p99-ms")
			b.ReportMetric(p99(under)/p99(alone), "p99-times-alone")
		})
	}
}
