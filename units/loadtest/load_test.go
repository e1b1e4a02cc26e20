package loadtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

// echo answers a POST with its body and a GET with hello.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.Method == "POST" {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
		return
	}
	_, _ = io.WriteString(w, "hello\n")
})

var echoes = ByMethod(Equals("hello\n"), Echo)

func TestRunAgainstRealServer(t *testing.T) {
	for name, start := range map[string]func(http.Handler) *httptest.Server{
		"http": httptest.NewServer, "https": httptest.NewTLSServer,
	} {
		for _, keepAlive := range []bool{false, true} {
			for _, size := range []int{0, 256 << 10} {
				t.Run(name, func(t *testing.T) {
					leaktest.Check(t)
					server := start(echo)
					defer server.Close()
					o := Options{
						URL: server.URL, Clients: 4, Requests: 40, KeepAlive: keepAlive,
						PostEvery: 4, BodySize: size, Check: echoes,
					}
					if t := server.Client().Transport.(*http.Transport).TLSClientConfig; t != nil {
						o.TLS = t
					}
					r, err := Run(t.Context(), o)
					if err != nil {
						t.Fatal(err)
					}
					want := Counts{OK: 40, Connections: 40}
					if keepAlive {
						want.Connections = min(4, r.Total.Counts.Connections) // a client may find nothing left to do
					}
					if r.Total.Counts != want {
						t.Errorf("counts %+v, want %+v; %+v", r.Total.Counts, want, r.Failures)
					}
					if n := r.Total.Latency.Count(); n != 40 {
						t.Errorf("%d latencies, want 40", n)
					}
				})
			}
		}
	}
}
