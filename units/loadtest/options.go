package loadtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What an option is where it is not given.
const (
	DefaultTimeout  = 10 * time.Second
	DefaultBodySize = 1 << 10
	DefaultPhase    = "load"
)

// Caps. A run is bounded in every direction, so that a slip in a number does
// not take the machine that runs it.
const (
	MaxClients    = 10_000
	MaxRate       = 1_000_000 // requests a second
	MaxRequests   = 1_000_000_000
	MaxDuration   = 30 * 24 * time.Hour
	MaxTimeout    = time.Hour
	MaxBodySize   = 16 << 20
	MaxAnswerSize = 16 << 20 // an answer with a longer body is a wrong answer
	MaxPhases     = 10_000
)

// Options say what to send, where, how often and for how long. URL, and one of
// Requests and Duration, must be given.
type Options struct {
	// URL is what is asked for: http or https. Its host is also what is dialed,
	// unless Network and Address name something else.
	//
	// A host name is resolved once, at the start, and one address of it is used
	// (an IPv4 one if there is one): to try the second when the first refuses
	// would hide that it refused. Write [::1] for IPv6, or set Network to "tcp6".
	URL string

	// Network and Address are what is dialed: "tcp" (the default), "tcp4",
	// "tcp6", or "unix" with a path (one that begins with @ is in the abstract
	// namespace, see unix(7)). With a Unix socket URL may be empty, for
	// http://localhost/. An empty Address is URL's host and port.
	Network string
	Address string

	// Dial opens each connection; nil is a plain net.Dialer. It must return when
	// its context ends. The connections of a Dial that are not a syscall.Conn
	// (net.Pipe) cannot be asked whether the server has closed them while they
	// were idle; what is then sent on them is counted as Cut or Reset, and Stale.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// TLS is the configuration for an https URL. ServerName defaults to URL's
	// host. HTTP/2 is not spoken.
	TLS *tls.Config

	// Header is sent with every request, beside Host, User-Agent and
	// X-Request-Id, which names each request of a run.
	Header http.Header

	Clients   int     // how many work at once; default 1
	Rate      float64 // requests a second of all clients together (open loop); 0: as fast as they are answered (closed loop)
	KeepAlive bool    // false: a new connection for each request

	PostEvery int // one request in this many is a POST with a body, the others are GETs; 0: none
	BodySize  int // bytes in the body of a POST; default 1024

	// The run ends when Requests have been begun, or no more are begun after
	// Duration, whichever is first. Those in flight are waited for.
	Requests int64
	Duration time.Duration

	// Timeout bounds one request, from the time that its latency counts from to
	// the last byte of the answer: what it waits for a free client in an open
	// loop, and the dial, are within. Default 10 s.
	Timeout time.Duration

	// Check says what is wrong with a whole answer whose status is 2xx; nil
	// takes any. It is called by all clients at once.
	Check Check

	// Phase is the name of the first phase, until Load.Mark; default "load".
	Phase string
}

// Check returns an error if answer is not the right one to request. What both
// hold is valid only until it returns.
type Check func(request Request, answer Answer) error

// Request is a request that was sent.
type Request struct {
	ID     string // its X-Request-Id
	Method string // GET or POST
	Body   []byte // a POST's; no two of a run are alike
}

// Answer is an answer that came whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// complete returns the options with defaults in place of zeros, or says which
// one is wrong.
func (o Options) complete() (Options, error) {
	if o.Network == "" {
		o.Network = "tcp"
	}
	if o.Clients == 0 {
		o.Clients = 1
	}
	if o.BodySize == 0 {
		o.BodySize = DefaultBodySize
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Phase == "" {
		o.Phase = DefaultPhase
	}
	for _, n := range []struct {
		name       string
		value, max int64
	}{
		{"Clients", int64(o.Clients), MaxClients},
		{"PostEvery", int64(o.PostEvery), math.MaxInt64},
		{"BodySize", int64(o.BodySize), MaxBodySize},
		{"Requests", o.Requests, MaxRequests},
	} {
		if n.value < 0 || n.value > n.max {
			return o, fmt.Errorf("loadtest: option %s: %d is not between 0 and %d", n.name, n.value, n.max)
		}
	}
	for _, d := range []struct {
		name       string
		value, max time.Duration
	}{
		{"Duration", o.Duration, MaxDuration},
		{"Timeout", o.Timeout, MaxTimeout},
	} {
		if d.value < 0 || d.value > d.max {
			return o, fmt.Errorf("loadtest: option %s: %v is not between 0 and %v", d.name, d.value, d.max)
		}
	}
	if !(o.Rate >= 0 && o.Rate <= MaxRate) {
		return o, fmt.Errorf("loadtest: option Rate: %v is not between 0 and %d requests a second", o.Rate, MaxRate)
	}
	if o.Requests == 0 && o.Duration == 0 {
		return o, fmt.Errorf("loadtest: options Requests and Duration: one of them must be given, so that the run ends")
	}
	return o, nil
}

// target returns the URL to ask for, once it is known to be one that this
// client can ask for, and sets the address to dial.
func (o *Options) target() (*url.URL, error) {
	if o.URL == "" && o.Network == "unix" {
		o.URL = "http://localhost/"
	}
	if !strings.HasPrefix(o.URL, "http://") && !strings.HasPrefix(o.URL, "https://") {
		return nil, fmt.Errorf("loadtest: option URL: %q does not begin with http:// or https://", o.URL)
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("loadtest: option URL: %w", err)
	}
	switch {
	case u.Host == "":
		return nil, fmt.Errorf("loadtest: option URL: %q names no host", o.URL)
	case u.User != nil:
		return nil, fmt.Errorf("loadtest: option URL: %q holds a user name: say it in Header", u.Redacted())
	case o.TLS != nil && u.Scheme != "https":
		return nil, fmt.Errorf("loadtest: option TLS: %q is not an https URL", o.URL)
	}
	switch o.Network {
	case "tcp", "tcp4", "tcp6":
	case "unix":
		if o.Address == "" {
			return nil, fmt.Errorf("loadtest: option Address: empty, want the path of a Unix socket")
		}
	default:
		if o.Dial == nil {
			return nil, fmt.Errorf("loadtest: option Network: %q, want tcp, tcp4, tcp6 or unix", o.Network)
		}
	}
	if o.Address == "" {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		o.Address = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// resolve replaces a host name in the address to dial by one of its addresses.
func (o *Options) resolve(ctx context.Context) error {
	if o.Dial != nil || o.Network == "unix" {
		return nil
	}
	host, port, err := net.SplitHostPort(o.Address)
	if err != nil {
		return fmt.Errorf("loadtest: option Address: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	network := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[o.Network]
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return fmt.Errorf("loadtest: address %q: %w", o.Address, err)
	}
	chosen := addrs[0]
	for _, a := range addrs {
		if a.Unmap().Is4() {
			chosen = a
			break
		}
	}
	o.Address = net.JoinHostPort(chosen.Unmap().String(), port)
	return nil
}
