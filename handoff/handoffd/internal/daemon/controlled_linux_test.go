package daemon

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/control"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/supervisor"
)

// TestStatusTellsAll: every field that the control interface has of a service, of a
// generation and of a verdict gets the value that the supervisor has of it.
func TestStatusTellsAll(t *testing.T) {
	since, began, at := time.Unix(1000, 0), time.Unix(2000, 0), time.Unix(3000, 0)
	got := status(supervisor.Status{
		Situation: generation.ServiceServing,
		PID:       1,
		Since:     since,
		Reexecs:   2,
		Down:      "why",
		Words:     []string{"a word"},
		Notes:     []string{"a note"},
		Last:      supervisor.Result{Verdict: generation.Verdict{Outcome: supervisor.Undone, Gen: 3, Reason: "a reason"}, Output: []string{"a line"}, Time: at},
		Generations: []supervisor.GenerationStatus{{
			Info:    generation.Info{Number: 4, State: generation.StateServing},
			PID:     5,
			Path:    "/bin/app",
			Began:   began,
			Text:    "a status",
			Version: "1.2.3",
			Carried: 6,
			Memory:  7,
			CPUUsec: 8,
		}},
	}, "dev")
	want := control.Status{
		Situation:   "serving",
		PID:         1,
		Version:     "dev",
		Started:     since,
		Reexecs:     2,
		Down:        "why",
		Output:      []string{"a word"},
		Notes:       []string{"a note"},
		Generations: []control.Generation{{Number: 4, State: "serving", Program: "/bin/app", PID: 5, Started: began, Version: "1.2.3", Status: "a status", Carried: 6, Memory: 7, CPUUSec: 8}},
		LastVerdict: &control.Verdict{Action: control.ActionReload, Outcome: control.Undone, Generation: 3, Reason: "a reason", Output: []string{"a line"}, Time: at},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	// A new field of the interface has to be in want, and so in status.
	for _, v := range []any{want, want.Generations[0], *want.LastVerdict} {
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			if s.Field(i).IsZero() {
				t.Errorf("this test has no value for %s of %T", s.Type().Field(i).Name, v)
			}
		}
	}
}

// TestStatusOutOfRotation: how far the service is out of a rotation takes the place of
// its situation; what is not accounted for is not known.
func TestStatusOutOfRotation(t *testing.T) {
	got := status(supervisor.Status{
		Situation:   generation.ServiceServing,
		Rotation:    "leaving",
		Generations: []supervisor.GenerationStatus{{Memory: -1, CPUUsec: -1}},
	}, "")
	if g := got.Generations[0]; got.Situation != "leaving" || got.LastVerdict != nil || g.Memory != 0 || g.CPUUSec != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestVerdicts: each outcome of the supervisor has its word.
func TestVerdicts(t *testing.T) {
	var got []control.Outcome
	for _, o := range []generation.Outcome{supervisor.Done, supervisor.Held, supervisor.Undone, supervisor.Refused} {
		got = append(got, verdict(control.ActionReload, supervisor.Result{Verdict: generation.Verdict{Outcome: o}}).Outcome)
	}
	if want := "[done held undone refused]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
