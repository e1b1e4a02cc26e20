package loadtest

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the result for people to read: a table of phases, how the
// requests ended, and the first failures. Its form may change; programs read
// the JSON.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.Workload)

	// Lines of one width in each column: numbers to the right.
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "phase\ttime\trequests\tper second\tfailed\tp50\tp90\tp99\tp99.9\tmax\t")
	phases := append(r.Phases[:len(r.Phases):len(r.Phases)], r.Total)
	if len(r.Phases) == 1 {
		phases = r.Phases // the total says the same
	}
	for _, p := range phases {
		rate := 0.0
		if p.Elapsed > 0 {
			rate = float64(p.Counts.Requests()) / p.Elapsed.Seconds()
		}
		fmt.Fprintf(table, "%s\t%.2f s\t%d\t%.0f\t%d\t", p.Name, p.Elapsed.Seconds(), p.Counts.Requests(), rate, p.Counts.Failed())
		for _, q := range []float64{50, 90, 99, 99.9, 100} {
			if p.Latency.Count() == 0 {
				fmt.Fprint(table, "-\t")
				continue
			}
			fmt.Fprintf(table, "%s\t", milliseconds(p.Latency.Percentile(q)))
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}

	total := r.Total.Counts
	fmt.Fprintf(&b, "\nrequests: %s\n", total)
	fmt.Fprintf(&b, "connections: opened %d, reconnected %d; requests lost on a kept one (stale): %d\n",
		total.Connections, total.Reconnected, total.Stale)

	if len(r.Failures) > 0 {
		fmt.Fprintf(&b, "\nfirst failures (at most %d of a kind):\n", MaxFailures)
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String says in one line how the requests ended.
func (c Counts) String() string {
	var ends []string
	for _, class := range classes {
		ends = append(ends, fmt.Sprintf("%s %d", strings.ReplaceAll(string(class), "_", " "), c.Of(class)))
	}
	return strings.Join(ends, ", ")
}

// String says in one line what was asked for.
func (w Workload) String() string {
	parts := []string{w.URL}
	if w.Network == "unix" {
		parts = append(parts, "at "+w.Address)
	}
	clients := "clients"
	if w.Clients == 1 {
		clients = "client"
	}
	parts = append(parts, fmt.Sprintf("%d %s", w.Clients, clients))
	if w.KeepAlive {
		parts = append(parts, "kept connections")
	} else {
		parts = append(parts, "a new connection for each request")
	}
	if w.Rate > 0 {
		parts = append(parts, fmt.Sprintf("open loop, %g requests a second", w.Rate))
	} else {
		parts = append(parts, "closed loop")
	}
	switch {
	case w.PostEvery == 1:
		parts = append(parts, fmt.Sprintf("POSTs of %d bytes", w.BodySize))
	case w.PostEvery > 1:
		parts = append(parts, fmt.Sprintf("one in %d a POST of %d bytes", w.PostEvery, w.BodySize))
	}
	return strings.Join(parts, ", ")
}

// String says in one line what failed, when, and how.
func (f Failure) String() string {
	from := f.Local
	switch {
	case from == "":
		from = "no connection"
	case f.OnReused:
		from += ", reused"
	}
	return fmt.Sprintf("%s %s in phase %s after %s: %s %s (%s): %s",
		f.Time.Format("15:04:05.000000"), f.Class, f.Phase, milliseconds(time.Duration(f.AfterNS)),
		f.Method, f.ID, from, f.Text)
}

// milliseconds shows d with three decimals, as all tables here do.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond))
}
