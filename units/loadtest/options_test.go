package loadtest

import (
	"crypto/tls"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBadOptions(t *testing.T) {
	good := func(change func(*Options)) Options {
		o := Options{URL: "http://127.0.0.1:1/", Requests: 1}
		change(&o)
		return o
	}
	for want, o := range map[string]Options{
		"option Clients: -1 ":                     good(func(o *Options) { o.Clients = -1 }),
		"option Clients: 10001 ":                  good(func(o *Options) { o.Clients = MaxClients + 1 }),
		"option BodySize: 16777217 ":              good(func(o *Options) { o.BodySize = MaxBodySize + 1 }),
		"option PostEvery: -2 ":                   good(func(o *Options) { o.PostEvery = -2 }),
		"option Requests: 1000000001 ":            good(func(o *Options) { o.Requests = MaxRequests + 1 }),
		"option Duration: 720h0m0.000000001s ":    good(func(o *Options) { o.Duration = MaxDuration + 1 }),
		"option Timeout: -1s ":                    good(func(o *Options) { o.Timeout = -time.Second }),
		"option Rate: -1 ":                        good(func(o *Options) { o.Rate = -1 }),
		"option Rate: NaN ":                       good(func(o *Options) { o.Rate = math.NaN() }),
		"options Requests and Duration: one":      good(func(o *Options) { o.Requests = 0 }),
		`option URL: "127.0.0.1:80" does not`:     good(func(o *Options) { o.URL = "127.0.0.1:80" }),
		`option URL: "ftp://x/" does not begin`:   good(func(o *Options) { o.URL = "ftp://x/" }),
		`option URL: "http:///x" names no host`:   good(func(o *Options) { o.URL = "http:///x" }),
		`xxxxx@x/" holds a user name`:             good(func(o *Options) { o.URL = "http://u:p@x/" }),
		`option URL: "" does not`:                 good(func(o *Options) { o.URL = "" }),
		"option TLS: ":                            good(func(o *Options) { o.TLS = &tls.Config{} }),
		`option Network: "udp"`:                   good(func(o *Options) { o.Network = "udp" }),
		"option Address: empty":                   good(func(o *Options) { o.Network = "unix" }),
		"option Address: address x: missing port": good(func(o *Options) { o.Address = "x" }),
		`address "no..such:80": lookup`:           good(func(o *Options) { o.URL = "http://no..such/" }),
		"option Header: Host cannot be set":       good(func(o *Options) { o.Header = http.Header{"Host": {"x"}} }),
		"option Header: X-Request-Id cannot":      good(func(o *Options) { o.Header = http.Header{"X-Request-Id": {"x"}} }),
		`option Header: "A B" is not the name`:    good(func(o *Options) { o.Header = http.Header{"A B": {"x"}} }),
		`option Header: the value of A, "x\r\n`:   good(func(o *Options) { o.Header = http.Header{"A": {"x\r\nB: y"}} }),
	} {
		_, err := Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "loadtest: ") {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

// TestResolve checks that one address is chosen, and that it is an IPv4 one
// where a name has both.
func TestResolve(t *testing.T) {
	for _, test := range []struct{ network, url, address, want string }{
		{"", "http://127.0.0.1/", "", "127.0.0.1:80"},
		{"", "https://127.0.0.1/", "", "127.0.0.1:443"},
		{"", "http://[::1]:81/", "", "[::1]:81"},
		{"tcp6", "http://x/", "[::1]:81", "[::1]:81"},
		{"tcp4", "http://localhost:81/", "", "127.0.0.1:81"},
		{"", "http://localhost:81/", "", "127.0.0.1:81"},
		{"unix", "", "/run/x", "/run/x"},
	} {
		o := Options{URL: test.url, Network: test.network, Address: test.address, Requests: 1}
		o, err := o.complete()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.target(); err != nil {
			t.Fatal(err)
		}
		if err := o.resolve(t.Context()); err != nil || o.Address != test.want {
			t.Errorf("%+v: %s, %v", test, o.Address, err)
		}
	}
}

// TestRequests checks what is sent, by a server's parser.
func TestRequests(t *testing.T) {
	ids, bodies := map[string]bool{}, map[string]bool{}
	var posts int
	got := make(chan *http.Request, 100)
	url := serve(t, func(p *peer) {
		for {
			r, err := http.ReadRequest(p.in)
			if err != nil {
				return
			}
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Header.Set("Body", string(b))
			got <- r
			p.say(whole)
		}
	})
	_, err := Run(t.Context(), Options{
		URL: url + "path?q=1", KeepAlive: true, Requests: 100, PostEvery: 4, BodySize: 25,
		Header: http.Header{"Authorization": {"Basic x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		r := <-got
		if r.RequestURI != "/path?q=1" || r.Header.Get("Authorization") != "Basic x" || r.Close {
			t.Fatalf("request %+v", r)
		}
		if _, _, err := net.SplitHostPort(r.Host); err != nil {
			t.Errorf("host %q: %v", r.Host, err)
		}
		ids[r.Header.Get("X-Request-Id")] = true
		if r.Method == "POST" {
			posts++
			bodies[r.Header.Get("Body")] = true
			if r.ContentLength != 25 {
				t.Errorf("a body of %d bytes, want 25", r.ContentLength)
			}
		}
	}
	if len(ids) != 100 || posts != 25 || len(bodies) != 25 {
		t.Errorf("%d IDs, %d POSTs, %d bodies; want 100, 25, 25", len(ids), posts, len(bodies))
	}
}
