// Command statsd adds up the counters that programs send it by UDP, in the
// StatsD protocol, and shows them by HTTP:
//
//	$ echo 'page.views:1|c' >/dev/udp/127.0.0.1/8125
//	$ curl 127.0.0.1:8126
//	{"page.views":1}
//
// Do `systemctl restart holdfast-statsd` at any time: the counters go on, and
// every datagram counts once. Those that arrive meanwhile wait in the socket, and
// where its queue is full the kernel says how many it has dropped (`ss -uam`).
//
// The counters live in memory: a crash or `systemctl stop` ends them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

type options struct {
	udp, http    string // addresses to bind when systemd passed no sockets
	drainTimeout time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.udp, "udp", "127.0.0.1:8125", "address to count on when systemd passed no socket")
	flag.StringVar(&o.http, "http", "127.0.0.1:8126", "address to answer on when systemd passed no socket")
	flag.DurationVar(&o.drainTimeout, "drain-timeout", 20*time.Second, "how long requests under way may take after SIGTERM")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(context.Background(), o); err != nil {
		slog.Error("holdfast-statsd failed", "error", err)
		os.Exit(1)
	}
}

// run counts until ctx ends or SIGTERM comes, and leaves the counters to the next
// process.
func run(ctx context.Context, o options) error {
	svc, err := handoff.Open(ctx, handoff.Options{
		DrainTimeout: o.drainTimeout,
		Report:       func(err error) { slog.Warn("handover", "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	packets, err := svc.ListenPacket("statsd", "udp", o.udp)
	if err != nil {
		return err
	}
	ln, err := svc.Listen("statsd", "tcp", o.http)
	if err != nil {
		return err
	}

	c := newCounters()
	err = svc.State("counters", handoff.State{
		Version: 1,
		Save:    func(context.Context) ([]byte, error) { return c.marshal() },
		Load:    func(_ context.Context, _ uint32, b []byte) error { return c.unmarshal(b) },
	})
	if err != nil {
		return err
	}
	if err := svc.Go(func(context.Context) error { return count(packets, c) }); err != nil {
		return err
	}
	srv := &http.Server{Handler: show(c, svc.Owned(), svc.Draining()), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	if err := svc.Serve(ln, srv); err != nil {
		return err
	}
	return svc.Run(ctx)
}

// count adds up what arrives, until the process drains: what has not been read by
// then is the next one's.
func count(packets net.PacketConn, c *counters) error {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := packets.ReadFrom(buf)
		if errors.Is(err, handoff.ErrDraining) {
			return nil
		}
		if err != nil {
			return err
		}
		c.add(buf[:n])
	}
}

// show answers with the counters. They may be asked for before they are here.
func show(c *counters, loaded, draining <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-loaded:
		case <-r.Context().Done():
			return
		case <-draining:
			select {
			case <-loaded: // both
			default:
				http.Error(w, "the counters have not come", http.StatusServiceUnavailable)
				return
			}
		}
		b, err := c.marshal()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(append(b, '\n'))
	})
	return mux
}
