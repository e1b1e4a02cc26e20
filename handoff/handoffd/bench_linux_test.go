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
	"github.com/holdfast-go/holdfast/units/poll"
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
	var starts, reloads []float64 // ms
	for b.Loop() {
		starts = append(starts, startAlone(b))
		began := time.Now()
		if _, err := client.Reload(b.Context(), control.ReloadRequest{}); err != nil {
			b.Fatal(err)
		}
		reloads = append(reloads, milliseconds(time.Since(began)))
		poll.Until(b, "one generation", func() bool {
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

// startAlone has the program start, and returns how many ms it took to be ready.
func startAlone(b *testing.B) (ms float64) {
	manager := notifytest.New(b)
	cmd := exec.Command(systemdtest.Build(b, httpProgram), "-listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+manager.Socket())
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	manager.WaitFor(b.Context(), "READY=1")
	took := milliseconds(time.Since(began))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
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
// handoffd, and times-alone and p99-times-alone the ratios to a round of the other
// right before or after, all of them medians. The clients share the processors with
// the servers.
//
//	go test -run '^$' -bench Requests -benchtime 40x ./handoff/handoffd
func BenchmarkRequests(b *testing.B) {
	const aloneAddress = "127.0.0.1:8081"
	m := systemdtest.Boot(b, systemdtest.Options{})
	install(b, m)
	m.InstallUnit(service, bare)
	m.InstallUnit("alone.socket", "[Socket]\nListenStream=8081\nFileDescriptorName=http\nBacklog=4096\n")
	m.InstallUnit("alone.service", "[Service]\nType=notify\nExecStart=/usr/local/bin/holdfast-http\nNonBlocking=yes\n")
	m.Systemctl("start", "alone.socket", "alone.service")
	begin(b, m, "")
	for _, keepAlive := range []bool{true, false} {
		b.Run(fmt.Sprintf("keepalive=%v", keepAlive), func(b *testing.B) {
			const clients, requests = 32, 5000
			round := func(address string) (rate, p99 float64) {
				r, err := loadtest.Run(b.Context(), loadtest.Options{
					URL: "http://localhost/", Address: address, Dial: m.Dial, Clients: clients, Requests: requests, KeepAlive: keepAlive,
				})
				if err == nil {
					err = r.Err()
				}
				if err != nil {
					b.Fatal(err)
				}
				return requests / r.Total.Elapsed.Seconds(), milliseconds(r.Total.Latency.Percentile(99))
			}
			var rates, rateRatios, p99s, p99Ratios []float64
			both := []string{address, aloneAddress}
			for b.Loop() {
				rate, p99 := make(map[string]float64), make(map[string]float64)
				for _, a := range both {
					rate[a], p99[a] = round(a)
				}
				slices.Reverse(both)
				rates, rateRatios = append(rates, rate[address]), append(rateRatios, rate[address]/rate[aloneAddress])
				p99s, p99Ratios = append(p99s, p99[address]), append(p99Ratios, p99[address]/p99[aloneAddress])
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(rates), "req/s")
			b.ReportMetric(median(rateRatios), "times-alone")
			b.ReportMetric(median(p99s), "p99-ms")
			b.ReportMetric(median(p99Ratios), "p99-times-alone")
		})
	}
}
