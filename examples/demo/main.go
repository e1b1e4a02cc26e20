// Command demo shows what clients see while a service is restarted: it boots a
// private, real systemd, installs the pair of examples/http, puts load on it
// and restarts the service ten times.
//
//	go run ./examples/demo
//
// It needs root, for the namespaces that the systemd runs in, and touches
// nothing outside of them.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/loadtest"
	"github.com/holdfast-go/holdfast/units/systemdtest"
)

const (
	program = "github.com/holdfast-go/holdfast/examples/http"
	service = "holdfast-http.service"
	socket  = "holdfast-http.socket"

	// Each restart is given this long before the next: clients that waited for
	// it are served by then, and are counted in its phase.
	settle = 500 * time.Millisecond
)

type options struct {
	restarts, clients int
	rate              float64
	json              bool
}

func main() {
	o := options{}
	flag.IntVar(&o.restarts, "restarts", 10, "how often to restart the service")
	flag.IntVar(&o.clients, "clients", 32, "how many clients work at once")
	flag.Float64Var(&o.rate, "rate", 1000, "requests a second, of all clients together")
	flag.BoolVar(&o.json, "json", false, "print the result as JSON")
	flag.Parse()
	if flag.NArg() > 0 || o.restarts < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var result *loadtest.Result
	err := systemdtest.Program(ctx, os.Stderr, func(t testing.TB) { result = measure(t, o) })
	if err == nil {
		err = print(os.Stdout, result, o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
	if result.Total.Counts.Failed() > 0 {
		os.Exit(1)
	}
}

// measure boots the machine and returns what clients counted, each restart in a
// phase of its own and everything between them in "at rest".
func measure(t testing.TB, o options) *loadtest.Result {
	m := systemdtest.Boot(t, systemdtest.Options{})
	t.Logf("a private systemd %d is up; it starts %s by its socket", m.Version(), service)
	m.InstallFile("/usr/local/bin/holdfast-http", systemdtest.Build(t, program), 0o755)
	for _, name := range []string{socket, service} {
		text, err := units.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		m.InstallUnit(name, text)
	}
	m.Systemctl("start", socket)

	load, err := loadtest.Start(t.Context(), loadtest.Options{
		URL: "http://127.0.0.1:8080/", Dial: m.Dial,
		Clients: o.clients, Rate: o.rate, Duration: time.Hour,
		PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo), Phase: "at rest",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { load.Stop(); load.Wait() })
	pause(t, 4*settle)
	for i := range o.restarts {
		load.Mark(fmt.Sprintf("restart %d", i+1))
		began := time.Now()
		m.Systemctl("restart", service)
		t.Logf("restart %2d: systemctl took %3d ms, the main PID is now %s", i+1, time.Since(began).Milliseconds(), m.Property(service, "MainPID"))
		pause(t, settle)
		load.Mark("at rest")
		pause(t, settle)
	}
	load.Stop()
	result, err := load.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// pause lets the load go on for d.
func pause(t testing.TB, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatalf("interrupted: %v", context.Cause(t.Context()))
	}
}

// print writes the result with the time at rest, each restart, and all restarts
// as its phases.
func print(w io.Writer, r *loadtest.Result, o options) error {
	phases := []loadtest.Phase{r.Named("at rest")}
	for i := range o.restarts {
		phases = append(phases, r.Named(fmt.Sprintf("restart %d", i+1)))
	}
	shown := *r
	shown.Phases = append(phases, loadtest.Merge("all restarts", phases[1:]...))
	if o.json {
		return json.NewEncoder(w).Encode(shown)
	}
	return shown.WriteText(w)
}
