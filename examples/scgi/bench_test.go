package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// modes are compared with each other in one run.
var modes = []string{dispatch, share, reuseport}

// BenchmarkWorkers compares the ways in which connections get to workers, by how many
// requests are answered and how soon, what that takes of all processes of the server
// together, and what part of the requests the busiest and the idlest worker have.
// The load is light (two clients at a time) or full (16), or full with one request in
// 200 that keeps its worker for 20 ms.
//
//	go test -run '^$' -bench Workers -benchtime 20000x ./examples/scgi
func BenchmarkWorkers(b *testing.B) {
	for _, load := range []struct {
		name    string
		clients int
		slow    int // one request in so many; 0: none
	}{{"light", 2, 0}, {"full", 16, 0}, {"mixed", 16, 200}} {
		for _, workers := range []int{1, 2, 8} {
			for _, mode := range modes {
				b.Run(fmt.Sprintf("%s/workers=%d/%s", load.name, workers, mode), func(b *testing.B) {
					s := startServer(b, mode, workers)
					answers := make([][]answered, load.clients)
					var next atomic.Int64
					path := func() (string, bool) {
						i := next.Add(1)
						if load.slow > 0 && i%int64(load.slow) == 0 {
							return "/sleep/20ms", i <= int64(b.N)
						}
						return "/", i <= int64(b.N)
					}
					b.ResetTimer()
					var all sync.WaitGroup
					for i := range load.clients {
						all.Go(func() {
							for {
								path, ok := path()
								if !ok {
									return
								}
								began := time.Now()
								pid, err := s.get(b.Context(), path)
								if err != nil {
									b.Error(err)
									return
								}
								answers[i] = append(answers[i], answered{pid, time.Since(began)})
							}
						})
					}
					all.Wait()
					elapsed := b.Elapsed()
					b.StopTimer()
					s.stop()
					report(b, slices.Concat(answers...), workers, elapsed, s.cmd.ProcessState.SysUsage().(*syscall.Rusage))
				})
			}
		}
	}
}

// answered is a request that was.
type answered struct {
	pid  int
	took time.Duration
}

func report(b *testing.B, all []answered, workers int, elapsed time.Duration, used *syscall.Rusage) {
	slices.SortFunc(all, func(a, b answered) int { return int(a.took - b.took) })
	share := make(map[int]int)
	for _, a := range all {
		share[a.pid]++
	}
	most, least := 0, len(all)
	for _, n := range share {
		most, least = max(most, n), min(least, n)
	}
	if len(share) < workers {
		least = 0
	}
	n := float64(len(all))
	cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	b.ReportMetric(n/elapsed.Seconds(), "req/s")
	b.ReportMetric(float64(all[len(all)/2].took)/1e6, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].took)/1e6, "p99-ms")
	b.ReportMetric(float64(cpu.Microseconds())/n, "cpu-µs/req")
	b.ReportMetric(float64(used.Nvcsw+used.Nivcsw)/n, "switches/req")
	b.ReportMetric(float64(most)/n*100, "busiest-%")
	b.ReportMetric(float64(least)/n*100, "idlest-%")
	b.ReportMetric(0, "ns/op") // the above say it
}

// BenchmarkReplace compares what clients lose when all four workers are replaced,
// while connections wait for them.
//
//	go test -run '^$' -bench Replace -benchtime 20x ./examples/scgi
func BenchmarkReplace(b *testing.B) {
	const workers, clients = 4, 32
	for _, mode := range modes {
		b.Run(mode, func(b *testing.B) {
			s := startServer(b, mode, workers)
			ctx, cancel := context.WithCancel(b.Context())
			var requests, lost atomic.Int64
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for ctx.Err() == nil {
						if _, err := s.get(context.WithoutCancel(ctx), "/sleep/2ms"); err != nil {
							lost.Add(1)
						}
						requests.Add(1)
					}
				})
			}
			b.ResetTimer()
			for range b.N {
				s.replace()
			}
			b.StopTimer()
			cancel()
			all.Wait()
			b.ReportMetric(float64(lost.Load())/float64(b.N), "lost/op")
			b.ReportMetric(float64(requests.Load())/float64(b.N), "requests/op")
			if mode != reuseport && lost.Load() > 0 {
				b.Errorf("%d of %d requests were lost", lost.Load(), requests.Load())
			}
		})
	}
}
