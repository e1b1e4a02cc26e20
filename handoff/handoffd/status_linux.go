package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
)

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show the generations",
		Description: "VERSION and CARRIED (connections taken over from the generation before) are what a program\n" +
			"on package handoff says of itself. With --watch it ends with 69 once the service has. Without,\n" +
			"it ends with 3 while no generation serves any more." + exitCodes,
		Flags: []cli.Flag{
			controlFlag(),
			&cli.BoolFlag{Name: "json", Usage: "as JSON"},
			&cli.BoolFlag{Name: "watch", Usage: "again after each change, until interrupted"},
		},
		Action: showStatus,
	}
}

func showStatus(ctx context.Context, c *cli.Command) error {
	client, err := dial(ctx, c)
	if err != nil {
		return err
	}
	defer client.Close()
	print := printTable
	if c.Bool("json") {
		print = printJSON
	}
	if !c.Bool("watch") {
		s, err := client.Status(ctx)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if err := print(c.Root().Writer, s); err != nil {
			return err
		}
		if s.Down != "" {
			return exitError(exitDown)
		}
		return nil
	}
	for s, err := range client.Monitor(ctx) {
		if errors.Is(err, control.ErrStopping) {
			return fmt.Errorf("status: %w: %w", control.ErrGone, err)
		}
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if err := print(c.Root().Writer, s); err != nil {
			return err
		}
	}
	return nil
}

func printJSON(w io.Writer, s control.Status) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

func printTable(w io.Writer, s control.Status) error {
	fmt.Fprintf(w, "%s, handoffd %s (PID %d), up %s\n", s.Situation, s.Version, s.PID, age(s.Started))
	if s.Down != "" {
		fmt.Fprintf(w, "down: %s\n", s.Down)
		for _, line := range s.Output {
			fmt.Fprintln(w, "  |", line)
		}
	}
	for _, note := range s.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "GENERATION\tSTATE\tPID\tAGE\tVERSION\tCARRIED\tCPU\tMEMORY\tPROGRAM\tSTATUS")
	for _, g := range s.Generations {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Number, g.State, orNone(g.PID > 0, "%d", g.PID), age(g.Started),
			orNone(g.Version != "", "%s", g.Version), orNone(g.Carried > 0, "%d", g.Carried),
			orNone(g.CPUUSec > 0, "%.1fs", float64(g.CPUUSec)/1e6), orNone(g.Memory > 0, "%.1fM", float64(g.Memory)/(1<<20)),
			orNone(g.Program != "", "%s", g.Program), g.Status)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if v := s.LastVerdict; v != nil {
		fmt.Fprintf(w, "last %s, %s ago: ", v.Action, age(v.Time))
		if v.Generation != 0 {
			fmt.Fprintf(w, "generation %d ", v.Generation)
		}
		fmt.Fprint(w, v.Outcome)
		if v.Reason != "" {
			fmt.Fprintf(w, ": %s", v.Reason)
		}
		fmt.Fprintln(w)
		for _, line := range v.Output {
			fmt.Fprintln(w, "  |", line)
		}
	}
	return nil
}

// orNone is the text, or a dash where there is nothing to show.
func orNone(known bool, format string, value any) string {
	if !known {
		return "-"
	}
	return fmt.Sprintf(format, value)
}

// age is how long ago t was, to a precision that a person wants.
func age(t time.Time) string {
	d := time.Since(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
