package loadtest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipeServer is a server inside a bubble of fake time: it answers each request
// after delay(its number).
type pipeServer struct {
	delay func(n int64) time.Duration
	asked atomic.Int64
}

func (s *pipeServer) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		in := bufio.NewReader(far)
		for {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			time.Sleep(s.delay(s.asked.Add(1) - 1))
			if _, err := io.WriteString(far, whole); err != nil {
				return
			}
		}
	}()
	return near, nil
}

// TestOpenLoopShowsStall stalls the server for a second in the middle of a run:
// every request that was due meanwhile shows how long it waited.
func TestOpenLoopShowsStall(t *testing.T) {
	for _, rate := range []float64{100, 0} {
		synctest.Test(t, func(t *testing.T) {
			s := &pipeServer{delay: func(n int64) time.Duration {
				if n == 100 {
					return time.Second
				}
				return time.Millisecond
			}}
			r, err := Run(t.Context(), Options{
				URL: "http://pipe/", Dial: s.dial, KeepAlive: true, Clients: 1, Rate: rate, Requests: 300,
			})
			if err != nil {
				t.Fatal(err)
			}
			l := r.Total.Latency
			if r.Total.Counts.OK != 300 || l.Count() != 300 {
				t.Fatalf("counts %+v, %d latencies, want 300", r.Total.Counts, l.Count())
			}
			near := func(name string, got, want time.Duration) {
				t.Helper()
				if got < want || got > want+want/500+time.Microsecond {
					t.Errorf("rate %v: %s is %v, want %v", rate, name, got, want)
				}
			}
			near("the longest", l.Max(), time.Second)
			if rate == 0 {
				near("p99.6 of a closed loop", l.Percentile(99.6), time.Millisecond)
				return
			}
			// The stall ends at 2 s. Request 100+k was due at 1 s + 10k ms and is
			// answered at 2 s + k ms: it took 1 s - 9k ms, until the backlog is gone
			// after 111 of them.
			near("p90, the 31st longest", l.Percentile(90), time.Second-30*9*time.Millisecond)
			near("p70, the 91st longest", l.Percentile(70), time.Second-90*9*time.Millisecond)
			near("p60, past the backlog", l.Percentile(60), time.Millisecond)
			near("the run", r.Total.Elapsed, 2991*time.Millisecond)
		})
	}
}

// TestOpenLoopBacklogIsBounded has a dial that outlasts its context: what waited
// for a client for longer than Timeout is counted without being sent, so that
// the run ends.
func TestOpenLoopBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		start := time.Now()
		r, err := Run(t.Context(), Options{
			URL: "http://pipe/", Clients: 2, Rate: 1000, Duration: 3 * time.Second, Timeout: time.Second,
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				dials.Add(1)
				time.Sleep(1500 * time.Millisecond)
				return nil, context.Cause(ctx)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := (Counts{TimedOut: 3000}); r.Total.Counts != want {
			t.Errorf("counts %+v, want %+v", r.Total.Counts, want)
		}
		if took := time.Since(start); took > 5500*time.Millisecond {
			t.Errorf("the run took %v, want at most its duration, one time limit and one dial", took)
		}
		if n := dials.Load(); n > 8 {
			t.Errorf("dialed %d times, want at most 4 of each client", n)
		}
	})
}

// TestPhases marks two phases, and checks that each request is counted in the
// one in which it was due, whenever it is answered.
func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &pipeServer{delay: func(int64) time.Duration { return 700 * time.Millisecond }}
		load, err := Start(t.Context(), Options{
			URL: "http://pipe/", Dial: s.dial, Clients: 20, Rate: 10, Duration: 3 * time.Second, Phase: "rest",
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(950 * time.Millisecond)
		load.Mark("restart") // 10 were due, 3 are answered
		if n := load.Counts().OK; n != 3 {
			t.Errorf("%d answered after 950 ms, want 3", n)
		}
		time.Sleep(500 * time.Millisecond)
		load.Mark("rest")
		r, err := load.Wait()
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			name    string
			ok      int64
			elapsed time.Duration
		}{
			{"rest", 10, 950 * time.Millisecond},
			{"restart", 5, 500 * time.Millisecond},
			{"rest", 15, 2150 * time.Millisecond}, // to the answer of the request due at 2.9 s
		} {
			p := r.Phases[i]
			if p.Name != want.name || p.Counts.OK != want.ok || p.Latency.Count() != want.ok || p.Elapsed != want.elapsed {
				t.Errorf("phase %d: %s, %d OK in %v, want %+v", i, p.Name, p.Counts.OK, p.Elapsed, want)
			}
		}
		if rest := r.Named("rest"); rest.Counts.OK != 25 || rest.Latency.Count() != 25 || rest.Elapsed != 3100*time.Millisecond {
			t.Errorf("both phases at rest: %d OK, %d latencies in %v, want 25 in 3.1 s", rest.Counts.OK, rest.Latency.Count(), rest.Elapsed)
		}
		if r.Total.Counts.OK != 30 || r.Named("none").Counts.OK != 0 {
			t.Errorf("total %+v, want 30 OK", r.Total.Counts)
		}
	})
}

// TestMarkTooOften reaches the cap on phases.
func TestMarkTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &pipeServer{delay: func(int64) time.Duration { return time.Second }}
		load, err := Start(t.Context(), Options{URL: "http://pipe/", Dial: s.dial, Requests: 2})
		if err != nil {
			t.Fatal(err)
		}
		for range MaxPhases {
			load.Mark("again")
		}
		r, err := load.Wait()
		if err == nil || len(r.Phases) != MaxPhases || r.Total.Counts.OK != 2 {
			t.Errorf("error %v, %d phases, %+v; want an error, and all requests in the phases there may be", err, len(r.Phases), r.Total.Counts)
		}
	})
}
