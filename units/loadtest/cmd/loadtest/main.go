// Command loadtest puts load on an HTTP server and prints what its clients lost.
//
//	loadtest [flags] URL
//	loadtest [flags] -unix PATH [URL]
//
// It ends after -requests or -duration, whichever is first; without either,
// after 10 s. The first SIGINT or SIGTERM begins no more requests and waits for
// those in flight; a second one cuts them short. What was counted is printed in
// both cases.
//
// With -phases each line of standard input begins a phase of that name, which is
// counted apart:
//
//	(sleep 5; echo restart; systemctl restart app; echo after; sleep 5) |
//	    loadtest -phases -clients 32 -rate 2000 -duration 15s http://127.0.0.1:8080/
//
// The exit status is 0 if every request was answered rightly, 1 if one was not or
// if there was none, and 2 if the run could not be started. Package
// github.com/holdfast-go/holdfast/units/loadtest documents what is counted, and
// the JSON.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
)

// The exit statuses.
const (
	clean  = 0
	failed = 1
	noRun  = 2
)

// defaultDuration is -duration where no bound is given.
const defaultDuration = 10 * time.Second

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// invocation is what the command line asks for.
type invocation struct {
	options loadtest.Options
	json    bool
	phases  bool
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	inv, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return clean
	case err != nil:
		fmt.Fprintf(stderr, "loadtest: %v\n", strings.TrimPrefix(err.Error(), "loadtest: "))
		return noRun
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	load, err := loadtest.Start(ctx, inv.options)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return noRun
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case s := <-signals:
				load.Stop()
				if i > 0 {
					cancel(fmt.Errorf("second signal: %v", s))
				}
			}
		}
	}()
	if inv.phases {
		go mark(load, stdin)
	}
	result, err := load.Wait()
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	if e := show(stdout, result, inv.json); e != nil {
		fmt.Fprintf(stderr, "loadtest: print the result: %v\n", e)
		return failed
	}
	if err != nil || result.Err() != nil {
		return failed
	}
	return clean
}

// mark begins a phase for each line of r.
func mark(load *loadtest.Load, r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if name := strings.TrimSpace(lines.Text()); name != "" {
			load.Mark(name)
		}
	}
}

func show(w io.Writer, r *loadtest.Result, asJSON bool) error {
	if !asJSON {
		return r.WriteText(w)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// parse reads the command line. Usage goes to stderr if it was asked for.
func parse(args []string, stderr io.Writer) (*invocation, error) {
	inv := &invocation{options: loadtest.Options{Header: http.Header{}}}
	o := &inv.options
	flags := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.IntVar(&o.Clients, "clients", 1, "how many `clients` work at once")
	flags.Float64Var(&o.Rate, "rate", 0, "requests a second of all clients together, a `number`, whatever the server does (open loop); 0: as fast as they are answered (closed loop)")
	flags.BoolVar(&o.KeepAlive, "keepalive", false, "keep connections; without it each request has a new one")
	flags.Int64Var(&o.Requests, "requests", 0, "end after this `number` of requests")
	flags.DurationVar(&o.Duration, "duration", 0, "begin no requests after this `time` (default 10s, if there is no -requests)")
	flags.DurationVar(&o.Timeout, "timeout", loadtest.DefaultTimeout, "how long one request may take, its dial included")
	flags.IntVar(&o.PostEvery, "post-every", 0, "one request in `n` is a POST with a body, the others are GETs; 0: none")
	flags.IntVar(&o.BodySize, "body-size", loadtest.DefaultBodySize, "`bytes` in the body of a POST")
	unix := flags.String("unix", "", "connect to the Unix socket at `path` (@ first: in the abstract namespace)")
	flags.Func("header", "send a header with each request, given as `'Name: value'`; may be repeated", func(s string) error {
		name, value, found := strings.Cut(s, ":")
		if !found {
			return errors.New("want 'Name: value'")
		}
		o.Header.Add(name, strings.TrimSpace(value))
		return nil
	})
	var get, post loadtest.Check
	flags.Func("expect", "the answer to a GET must have this `body`", func(s string) error {
		get = loadtest.Equals(s)
		return nil
	})
	flags.BoolFunc("echo", "the answer to a POST must have the body of the request", func(string) error {
		post = loadtest.Echo
		return nil
	})
	flags.BoolFunc("digest", "the answer to a POST must hold the SHA-256 of the request's body in hexadecimal", func(string) error {
		post = loadtest.Digest
		return nil
	})
	caFile := flags.String("ca", "", "trust the certificates in this PEM `file`, and no others")
	flags.BoolVar(&inv.phases, "phases", false, "each line of standard input begins a phase of that name")
	flags.BoolVar(&inv.json, "json", false, "print JSON")

	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, "usage: loadtest [flags] URL\n       loadtest [flags] -unix PATH [URL]\n")
			flags.SetOutput(stderr)
			flags.PrintDefaults()
			return nil, err
		}
		return nil, fmt.Errorf("%w (loadtest -help lists the flags)", err)
	}
	if flags.NArg() > 1 || flags.NArg() == 0 && *unix == "" {
		return nil, fmt.Errorf("%d arguments, want one URL after the flags (loadtest -help lists them)", flags.NArg())
	}
	o.URL = flags.Arg(0)
	if *unix != "" {
		o.Network, o.Address = "unix", *unix
	}
	if o.Requests == 0 && o.Duration == 0 {
		o.Duration = defaultDuration
	}
	if get != nil || post != nil {
		o.Check = loadtest.ByMethod(get, post)
	}
	if *caFile != "" {
		var err error
		if o.TLS, err = trusting(*caFile); err != nil {
			return nil, err
		}
	}
	return inv, nil
}

// trusting returns a configuration that trusts the certificates in file.
func trusting(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("flag -ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("flag -ca: %s holds no certificate in PEM", file)
	}
	return &tls.Config{RootCAs: pool}, nil
}
