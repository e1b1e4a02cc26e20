package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

func check(t *testing.T, rows []row, o options, want int) {
	t.Helper()
	if len(rows) != want {
		t.Fatalf("got %d rows, want %d", len(rows), want)
	}
	for _, r := range rows {
		if c := r.Result.Total.Counts; c.Refused > 0 {
			t.Errorf("%s, %s: %v", r.Step, r.Clients, r.Result.Err())
		}
		for _, phase := range []string{atRest, replacement} {
			if n := r.Result.Named(phase).Counts.OK; n == 0 {
				t.Errorf("%s, %s: phase %q has no answered requests", r.Step, r.Clients, phase)
			}
		}
	}
	// With handoffd, which is the last step, nothing may be lost at all.
	for _, r := range rows[len(rows)-2:] {
		if err := r.Result.Err(); err != nil || r.Result.Total.Counts.Reconnected > 0 {
			t.Errorf("%s, %s: %v, reconnected %d", r.Step, r.Clients, err, r.Result.Total.Counts.Reconnected)
		}
	}
	var table, list strings.Builder
	if err := write(&table, rows, o); err != nil || !strings.Contains(table.String(), "kept connections") {
		t.Errorf("error %v and table:\n%s", err, table.String())
	}
	o.json = true
	var back []row
	if err := write(&list, rows, o); err != nil || json.Unmarshal([]byte(list.String()), &back) != nil || len(back) != want {
		t.Errorf("error %v and JSON:\n%s", err, list.String())
	}
}

var quick = options{replacements: 2, clients: 4, rate: 200, startDelay: 50 * time.Millisecond}

func TestDemo(t *testing.T) {
	if os.Geteuid() != 0 && os.Getenv("HOLDFAST_E2E") != "require" {
		t.Skip("not root: no systemd can be booted")
	}
	check(t, show(t, quick), quick, 6)
}

func TestDemoWithoutSystemd(t *testing.T) {
	check(t, measure(t, alone(t, quick), quick), quick, 2)
}
