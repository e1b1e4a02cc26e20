// Command upgrade is a server whose program is upgraded with a way back, as
// nginx's is by the signals USR2, WINCH and QUIT (units/holdfast-upgrade.socket and
// .service):
//
//	install the new program, and:
//	handoffd reload --hold      both versions answer; nginx: USR2
//	curl http://ADDRESS/health  until the new version has answered often enough
//	handoffd commit             the old one ends; nginx: WINCH, then QUIT
//	handoffd abort              or the new one does; nginx: HUP, then QUIT
//
// each of handoffd's with --control /run/holdfast-upgrade/control.
//
// GET answers with the version, GET /health whether it is well, and GET /forever
// never ends: such a request is cut when the drain timeout of its generation is
// over, and the log says so.
//
// A version that is bad is built by -ldflags "-X main.bad=health" (it says so when
// it is asked) or "-X main.bad=start" (it does not get ready).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/holdfast-go/holdfast/handoff"
)

// The build sets these.
var (
	version = "1"
	bad     = "" // nothing, "health" or "start"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8083", "address to bind where no socket was passed")
	drainTimeout := flag.Duration("drain-timeout", 20*time.Second, "how long requests under way may take after SIGTERM")
	flag.Parse()
	if err := run(*listen, *drainTimeout); err != nil {
		slog.Error("holdfast-upgrade failed", "version", version, "error", err)
		os.Exit(1)
	}
}

func run(listen string, drainTimeout time.Duration) error {
	if bad == "start" {
		return errors.New("this version does not start")
	}
	svc, err := handoff.Open(context.Background(), handoff.Options{
		Version:      version,
		DrainTimeout: drainTimeout,
		Report:       func(err error) { slog.Warn("went on from a problem", "version", version, "error", err) },
	})
	if err != nil {
		return err
	}
	defer svc.Close()
	ln, err := svc.Listen("http", "tcp", listen)
	if err != nil {
		return err
	}
	if err := svc.Serve(ln, &http.Server{Handler: handler(), ReadHeaderTimeout: 5 * time.Second}); err != nil {
		return err
	}
	return svc.Run(context.Background())
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "version", version) })
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if bad == "health" {
			fmt.Fprintln(w, "version", version, "is bad")
			return
		}
		fmt.Fprintln(w, "version", version, "is well")
	})
	mux.HandleFunc("GET /forever", func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			fmt.Fprintln(w, "version", version, "goes on")
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	return mux
}
