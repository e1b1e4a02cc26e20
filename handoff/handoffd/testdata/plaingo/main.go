// Command plaingo is an HTTP server such as many there are: its sockets are from
// systemd, it says when it is ready, and it shuts down at SIGTERM, all by
// github.com/coreos/go-systemd and net/http alone.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

func main() {
	listeners, err := activation.ListenersWithNames()
	if err != nil {
		log.Fatal(err)
	}
	if len(listeners["http"]) != 1 {
		log.Fatalf("want one socket named http, got %v", listeners)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "pid", os.Getpid()) })
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			w.Write(body)
		}
	})
	server := &http.Server{Handler: mux}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listeners["http"][0]) }()
	if _, err := daemon.SdNotify(true, daemon.SdNotifyReady); err != nil {
		log.Fatal(err)
	}
	select {
	case err := <-served:
		log.Fatal(err)
	case <-stop.Done():
	}
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
}
