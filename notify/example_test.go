package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/holdfast-go/holdfast/notify"
)

// A service tells when it serves and when it stops, and shows that it lives.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	n, err := notify.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close()

	ln, err := net.Listen("tcp", "127.0.0.1:8080")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(ln, nil)
	if err := n.Ready(ctx); err != nil {
		log.Print(err) // the manager will call the start failed
	}
	n.Status("serving on 127.0.0.1:8080")
	if err := n.Watchdog(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://127.0.0.1:8080/", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}); err != nil {
		log.Print(err)
	}
	<-ctx.Done()
	n.Stopping(context.Background())
}

// Without a manager, as in a terminal, a nil *Notifier does nothing.
func ExampleOpen() {
	n, err := notify.Options{Environ: []string{"HOME=/root"}}.Open()
	fmt.Println(n.Managed(), err, n.Ready(context.Background()))
	// Output: false <nil> <nil>
}

// A reload ends with READY=1, whatever became of it.
func ExampleNotifier_Reloading() {
	n, err := notify.Open()
	if err != nil {
		log.Fatal(err)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, os.Interrupt) // what ReloadSignal= names
	for range hup {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		n.Reloading(ctx)
		if err := readConfig(); err != nil {
			n.Statusf("reload failed: %q", err)
		}
		n.Ready(ctx)
		cancel()
	}
}

func readConfig() error { return nil }

// What is to outlive a restart is stored, and the barrier tells when the manager
// has it.
func ExampleNotifier_Store() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := notify.Open()
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.ListenTCP("tcp", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(n.Store(ctx, "http", ln), n.Barrier(ctx)); err != nil {
		log.Fatal(err)
	}
}

// A manager hears its service on a socket of its own.
func ExampleReceiver() {
	r, err := notify.Listen("/run/app/notify")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	for {
		m, err := r.Receive(context.Background())
		if errors.Is(err, notify.ErrRefused) {
			log.Print(err)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		if m.Message.Has("READY", "1") {
			log.Printf("process %d is ready", m.PID)
		}
		m.Close() // also answers a barrier
	}
}
