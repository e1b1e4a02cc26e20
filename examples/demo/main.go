// Command demo shows what clients see while a service is replaced, in three
// ways: restarted with a socket that systemd holds, restarted with the fd store
// as well, and reloaded under handoffd. It boots a private, real systemd, installs
// the pairs of units/, puts load on them and replaces the program ten times each.
//
//	go run ./examples/demo
//
// It needs root, for the namespaces that the systemd runs in, and touches
// nothing outside of them. Without root it shows handoffd alone.
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

	"github.com/holdfast-go/holdfast/units/systemdtest"
)

type options struct {
	replacements int
	clients      int
	rate         float64
	startDelay   time.Duration
	json         bool
}

func main() {
	o := options{}
	flag.IntVar(&o.replacements, "replacements", 10, "how often each step replaces the program")
	flag.IntVar(&o.clients, "clients", 32, "how many clients work at once, half of them on kept connections")
	flag.Float64Var(&o.rate, "rate", 1000, "requests a second, of all clients together")
	flag.DurationVar(&o.startDelay, "start-delay", 300*time.Millisecond, "how long the program takes to start")
	flag.BoolVar(&o.json, "json", false, "print the counts as JSON")
	flag.Parse()
	if flag.NArg() > 0 || o.replacements < 1 || o.clients < 2 || !(o.rate > 0) {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	var rows []row
	err := systemdtest.Program(ctx, os.Stderr, func(t testing.TB) { rows = show(t, o) })
	if err == nil {
		err = write(os.Stdout, rows, o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
	for _, r := range rows {
		if r.Result.Total.Counts.Failed() > 0 {
			os.Exit(1)
		}
	}
}

// show goes through the steps and returns what clients counted in each.
func show(t testing.TB, o options) []row {
	if os.Geteuid() != 0 {
		t.Log("without root there is no systemd to boot: this is handoffd alone")
		return measure(t, alone(t, o), o)
	}
	m := systemdtest.Boot(t, systemdtest.Options{})
	t.Logf("a private systemd %d is up; the program takes %v to start", m.Version(), o.startDelay)
	var rows []row
	for _, s := range steps(t, m, o) {
		rows = append(rows, measure(t, s, o)...)
	}
	return rows
}

func write(w io.Writer, rows []row, o options) error {
	if o.json {
		return json.NewEncoder(w).Encode(rows)
	}
	return writeTable(w, rows)
}
