// Command http is a small HTTP server that loses no request when it is
// restarted: systemd holds its socket (units/holdfast-http.socket), it says
// READY=1 once it can answer, and on SIGTERM it answers what has reached it
// before it goes.
//
// It answers GET with its version and PID, and POST with the body it was sent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/notify"
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
// request that had reached this process is answered, or the drain timeout has
// passed.
func run(ctx context.Context, o options) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()

	manager, err := notify.Open()
	if err != nil {
		return err
	}
	defer manager.Close()
	ln, err := listen(ctx, o.listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler(), ReadHeaderTimeout: 5 * time.Second}
	drainer := newDrainer(srv)
	if err := warmUp(ctx, o.startDelay); err != nil {
		ln.Close()
		return err
	}
	serving := make(chan error, 1)
	go func() { serving <- srv.Serve(ln) }()
	if err := manager.Send(ctx, notify.Ready(), notify.Status("serving on "+ln.Addr().String())); err != nil {
		srv.Close()
		return err
	}
	defer keepWatchdog(manager)()

	select {
	case err := <-serving:
		return err
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.Background(), o.drainTimeout)
	defer cancel()
	// A manager that does not listen must not keep requests from being answered.
	told := manager.Send(draining, notify.Stopping(), notify.Status("draining"))
	if err := drainer.drain(draining, ln, serving); err != nil {
		srv.Close()
		return fmt.Errorf("drain: requests were still under way after %v: %w", o.drainTimeout, err)
	}
	return told
}

// listen takes the socket that systemd holds under the name "http". A program
// that was not activated at all binds address itself.
func listen(ctx context.Context, address string) (net.Listener, error) {
	inherited, err := activation.Inherit()
	if err != nil {
		return nil, errors.Join(err, inherited.Close())
	}
	ln, err := inherited.Listen(ctx, "http", "tcp", address)
	if left := inherited.Close(); err == nil && left != nil {
		slog.Warn("the socket unit has more than this program serves", "error", left)
	}
	return ln, err
}

// keepWatchdog answers WatchdogSec=, through the drain too, until the function
// it returns is called. This program is well for as long as it runs; another one
// would pass Watchdog a function that checks what its handlers need.
func keepWatchdog(manager *notify.Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := manager.Watchdog(ctx, nil); err != nil && ctx.Err() == nil {
			slog.Error("the watchdog is not answered any more", "error", err)
		}
	}()
	return func() { cancel(); <-done }
}

// warmUp stands for whatever a real server does before it can answer.
func warmUp(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("warm up: %w", context.Cause(ctx))
	}
}

func handler() http.Handler {
	var served atomic.Int64
	mux := http.NewServeMux()
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
