package main

import (
	"context"
	"fmt"
	"io"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/holdfast-go/holdfast/units/loadtest"
)

const (
	atRest      = "at rest"
	replacement = "replacement"

	// Each replacement is given this long before the next: clients that waited
	// for it are served by then, and are counted with it.
	settle = 500 * time.Millisecond
)

// A row is what one kind of clients counted in one step.
type row struct {
	Step    string           `json:"step"`
	Clients string           `json:"clients"`
	Result  *loadtest.Result `json:"result"`
}

// measure replaces the program of s again and again under load. The time in
// between, and each replacement, are phases of the result.
func measure(t testing.TB, s step, o options) []row {
	s.begin(t)
	defer s.end(t)
	var rows []row
	var loads []*loadtest.Load
	for _, kept := range []bool{false, true} {
		r := row{Step: s.name, Clients: "new connections"}
		if kept {
			r.Clients = "kept connections"
		}
		load, err := loadtest.Start(t.Context(), loadtest.Options{
			URL: "http://" + s.address + "/", Dial: s.dial, KeepAlive: kept,
			Clients: o.clients / 2, Rate: o.rate / 2, Duration: time.Hour,
			PostEvery: 2, Check: loadtest.ByMethod(nil, loadtest.Echo), Phase: atRest,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { load.Stop(); load.Wait() })
		rows, loads = append(rows, r), append(loads, load)
	}
	mark := func(phase string) {
		for _, l := range loads {
			l.Mark(phase)
		}
	}
	pause(t, 2*settle)
	for i := range o.replacements {
		mark(replacement)
		began := time.Now()
		s.replace(t)
		took := time.Since(began)
		pause(t, settle)
		mark(atRest)
		pause(t, settle)
		var counts loadtest.Counts
		for _, l := range loads {
			counts = counts.Add(l.Counts())
		}
		t.Logf("%s: %s %2d took %4d ms; so far %d requests, %d failed, %d reconnected",
			s.name, s.verb, i+1, took.Milliseconds(), counts.Requests(), counts.Failed(), counts.Reconnected)
	}
	for i, l := range loads {
		l.Stop()
		var err error
		if rows[i].Result, err = l.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// pause lets the load go on for d.
func pause(t testing.TB, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatalf("interrupted: %v", context.Cause(t.Context()))
	}
}

func writeTable(w io.Writer, rows []row) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\t\t\t\t\t\tat rest\t\twhile replaced\t\t\t")
	fmt.Fprintln(table, "step\tclients\trequests\trefused\tother failures\treconnected\tp50\tp99\tp50\tp99\tmax\t")
	for _, r := range rows {
		c, rest, during := r.Result.Total.Counts, r.Result.Named(atRest).Latency, r.Result.Named(replacement).Latency
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t\n", r.Step, r.Clients,
			c.Requests(), c.Refused, c.Failed()-c.Refused, c.Reconnected,
			ms(rest.Percentile(50)), ms(rest.Percentile(99)),
			ms(during.Percentile(50)), ms(during.Percentile(99)), ms(during.Max()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, f := range r.Result.Failures {
			if _, err := fmt.Fprintf(w, "%s, %s: %v\n", r.Step, r.Clients, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
