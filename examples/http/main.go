// Command http is a small HTTP server that loses no request and no connection
// when it is restarted: systemd holds its socket and, between two generations,
// the connections of its clients (units/holdfast-http.socket and .service).
//
// It answers GET with its version and PID, POST with the body it was sent, and
// GET /ready as a load balancer asks for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

// version is what GET answers: a new build shows that it is the new one.
var version = "1"

// maxBody bounds a POST; a larger one is answered with status 413.
const maxBody = 1 << 20

type options struct {
	listen       string        // where to listen when not socket-activated
	startDelay   time.Duration // stands for caches to fill before the first answer
	drainTimeout time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address to bind when systemd passed no socket")
	flag.DurationVar(&o.startDelay, "start-delay", 0, "how long to warm up before READY=1")
	flag.DurationVar(&o.drainTimeout, "drain-timeout", 20*time.Second, "how long requests under way may take after SIGTERM")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := run(context.Background(), o); err != nil {
		slog.Error("holdfast-http failed", "error", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, or SIGTERM or SIGINT comes, and returns once every
// request that had reached this process is answered and every kept connection is
// left for the next generation, or the drain timeout has passed.
func run(ctx context.Context, o options) error {
	svc, err := handoff.Open(ctx, handoff.Options{
		DrainTimeout: o.drainTimeout,
		Report:       func(err error) { slog.Warn("went on from a problem", "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	ln, err := svc.Listen("http", "tcp", o.listen)
	if err != nil {
		return err
	}
	if err := svc.Serve(ln, &http.Server{Handler: handler(svc.ReadyHandler()), ReadHeaderTimeout: 5 * time.Second}); err != nil {
		return err
	}
	time.Sleep(o.startDelay) // meanwhile clients wait, and SIGTERM ends the program as ever
	return svc.Run(ctx)
}

func handler(ready http.Handler) http.Handler {
	var served atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("GET /ready", ready)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "version %s pid %d request %d\n", version, os.Getpid(), served.Add(1))
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			http.Error(w, fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
			return
		} else if err != nil {
			return // the client went away, nobody is left to answer
		}
		served.Add(1)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(body)
	})
	return mux
}
