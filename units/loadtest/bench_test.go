package loadtest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

const benchClients = 32

// BenchmarkRequests drives one net/http server by this client and by net/http's
// own, one after the other in each round, and reports the requests a second of
// both, and their ratio. All share the machine's processors with the server.
func BenchmarkRequests(b *testing.B) {
	for _, keepAlive := range []bool{false, true} {
		b.Run(fmt.Sprintf("keepalive=%v", keepAlive), func(b *testing.B) {
			server := httptest.NewServer(echo)
			defer server.Close()
			const round = 5000
			var ours, theirs float64
			rounds := 0
			for b.Loop() {
				r, err := Run(b.Context(), Options{
					URL: server.URL, Clients: benchClients, Requests: round, KeepAlive: keepAlive, Check: Equals("hello\n"),
				})
				if err != nil || r.Total.Counts.OK != round {
					b.Fatalf("%v, %+v, %v", err, r.Total.Counts, r.Failures)
				}
				ours += r.Total.Elapsed.Seconds()
				theirs += netHTTP(b, server.URL, keepAlive, round)
				rounds++
			}
			total := float64(rounds * round)
			b.ReportMetric(total/ours, "req/s")
			b.ReportMetric(total/theirs, "net/http-req/s")
			b.ReportMetric(theirs/ours, "times-net/http")
			b.ReportMetric(0, "ns/op") // a round of both says nothing
		})
	}
}

// netHTTP sends n requests by net/http's client, and returns the seconds that
// it took.
func netHTTP(b *testing.B, url string, keepAlive bool, n int) float64 {
	transport := &http.Transport{DisableKeepAlives: !keepAlive, MaxIdleConnsPerHost: benchClients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	next := make(chan struct{}, n)
	for range n {
		next <- struct{}{}
	}
	close(next)
	var all sync.WaitGroup
	start := b.Elapsed()
	for range benchClients {
		all.Go(func() {
			for range next {
				response, err := client.Get(url)
				if err != nil {
					b.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || string(body) != "hello\n" {
					b.Errorf("%q, %v", body, err)
					return
				}
			}
		})
	}
	all.Wait()
	return (b.Elapsed() - start).Seconds()
}

// BenchmarkProbe is what it costs to ask whether an idle connection was closed,
// once for each request on a kept connection.
func BenchmarkProbe(b *testing.B) {
	server := httptest.NewServer(echo)
	defer server.Close()
	c := newClient(&Load{ctx: b.Context(), msg: &message{}})
	defer c.alarm.close()
	conn, err := c.dial(b.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for b.Loop() {
		if probe(conn) == closed {
			b.Fatal("it is not closed")
		}
	}
}
