package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/reexec"
	"github.com/holdfast-go/holdfast/handoff/internal/storeserver"
)

// someState is one in which everything is there.
func someState() *state {
	return &state{
		Header:  reexec.Header{PID: 7, Descriptors: []int{5, 6, 7, 8, 9, 10, 11}},
		Machine: json.RawMessage(`{"version":1}`), Timers: []timerState{{1, time.Second}, {2, -time.Second}},
		Processes: []processState{{
			Number: 3, Program: "/bin/app", Began: time.Unix(1, 0).UTC(),
			State: process.State{
				Main: true, PID: 12, PGID: 12, Cgroup: "/sys/fs/cgroup/a/gen-3", Output: 5, Tail: []byte("last words\xff"),
				Reaped: &generation.ExitStatus{Code: 3},
			},
			Receiver: 3, ordersState: ordersState{Deliverer: 4, LastDelivery: 9},
			readinessState: readinessState{Alive: 1, Ready: true}, watchdogState: watchdogState{Watchdog: 2, Guarded: true},
			Text: "well", Says: selfReport{Version: "2"}, PeerState: storeserver.PeerState{Committed: true},
		}},
		Sockets: []namedRef{{"http", 2}},
		storeState: storeserver.State{
			Entries: []storeserver.EntryState{{Name: "conn", File: 6, Above: "x", Owner: 3, Polled: true, Holders: map[uint64]uint64{3: 1}}},
			Limit:   64, Target: 3, Drops: map[uint64][]string{3: {"conn"}}, Memory: 1, Kept: true,
		},
		managerState: manager.State{Keeps: true, Ready: true, Reload: true, Text: "t", Excuses: manager.FailureDetails{"1"}},
		RunnerState:  process.RunnerState{Cgroups: "/sys/fs/cgroup/a", Note: "n"},
		Runtime:      "/run/a", historyState: historyState{Since: time.Unix(2, 0).UTC(), Reexecs: 2},
		requestsState: requestsState{Callers: []uint64{4}, Caller: 5, Last: lastWords{2, []string{"bye"}}, Verdict: Result{Verdict: generation.Verdict{Outcome: Undone, Gen: 2, Reason: "r"}, Output: []string{"o"}, Time: time.Unix(3, 0).UTC()}},
		Data:          []byte{1}, Files: []ref{7},
	}
}

// TestState: what is read is what was written.
func TestState(t *testing.T) {
	want := someState()
	b, err := reexec.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := new(state)
	if err := reexec.Unmarshal(b, got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	// A field that the encoding leaves out would be lost.
	v := reflect.ValueOf(*want)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test leaves %s out", v.Type().Field(i).Name)
		}
	}
}

// TestKeysDiffer: where two parts had one key, encoding/json would drop both, and say
// nothing.
func TestKeysDiffer(t *testing.T) {
	for _, of := range []reflect.Type{reflect.TypeFor[state](), reflect.TypeFor[processState]()} {
		seen := make(map[string]bool)
		for _, f := range reflect.VisibleFields(of) {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && key == "":
			case key == "" || seen[strings.ToLower(key)]:
				t.Errorf("%v: the key %q of %s is there twice, or none", of, key, f.Name)
			}
			seen[strings.ToLower(key)] = true
		}
		if len(seen) < 15 {
			t.Errorf("%v has %d keys", of, len(seen))
		}
	}
}

// TestLaterState: keys that a later program writes are ignored, in every part.
func TestLaterState(t *testing.T) {
	b, err := os.ReadFile("testdata/states/2026-11-full.json")
	if err != nil {
		t.Fatal(err)
	}
	want := new(state)
	if err := reexec.Unmarshal(b, want); err != nil {
		t.Fatal(err)
	}
	later := bytes.ReplaceAll(b, []byte(`{"`), []byte(`{"later":{"a":[1]},"`))
	if n := bytes.Count(later, []byte("later")); n < 20 {
		t.Fatalf("%d new keys", n)
	}
	// A map of numbers has no keys to come.
	later = bytes.ReplaceAll(later, []byte(`{"later":{"a":[1]},"2":8}`), []byte(`{"2":8}`))
	later = bytes.ReplaceAll(later, []byte(`{"later":{"a":[1]},"3":["state"]}`), []byte(`{"3":["state"]}`))
	got := new(state)
	if err := reexec.Unmarshal(later, got); err != nil {
		t.Fatal(err)
	}
	m, err := generation.Restore(generation.Options{}, got.Machine)
	if err != nil {
		t.Fatal(err)
	}
	if got.Machine, err = m.Snapshot(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, got %+v, want %+v", err, got, want)
	}
}

// TestStateRefusals: what nobody has written is not believed.
func TestStateRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(st *state)
		want   string
	}{
		{"a timer twice", func(st *state) { st.Timers[1].Timer = 1 }, "timer 1"},
		{"a generation twice", func(st *state) {
			st.Processes = append(st.Processes, st.Processes[0])
			st.Descriptors = append(st.Descriptors, 20, 21, 22)
			p := &st.Processes[1]
			p.Receiver, p.Deliverer, p.Output = 8, 9, 10
		}, "generation 3 is there twice"},
		{"all processes", func(st *state) { st.Processes[0].PGID = 1 }, "group 1"},
		{"dead and alive", func(st *state) { st.Processes[0].Exited = true }, "exited true"},
		{"no cgroup", func(st *state) { st.Processes[0].Cgroup = "" }, "cgroup"},
		{"a cgroup elsewhere", func(st *state) { st.Processes[0].Cgroup = "/sys/fs/cgroup/b/gen-3" }, "cgroup"},
		{"a caller of the future", func(st *state) { st.Callers[0] = 6 }, "caller 6 of 5"},
		{"no store", func(st *state) { st.Limit = 0 }, "0 entries"},
	} {
		st := someState()
		c.change(st)
		b, err := reexec.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if err := reexec.Unmarshal(b, new(state)); !errors.Is(err, reexec.ErrState) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzState: a state is understood whole, or refused.
func FuzzState(f *testing.F) {
	b, err := reexec.Marshal(someState())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add(bytes.Replace(b, []byte(`"1"`), []byte(`"2"`), 1))
	f.Add([]byte(`{"version":"1"}`))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st := new(state)
		if err := reexec.Unmarshal(b, st); err != nil {
			if !errors.Is(err, reexec.ErrState) {
				t.Fatal(err)
			}
			return
		}
		again, err := reexec.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		same := new(state)
		if err := reexec.Unmarshal(again, same); err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		if last, err := reexec.Marshal(same); err != nil || !bytes.Equal(last, again) {
			t.Fatalf("%v: %s, and then %s", err, again, last)
		}
	})
}
