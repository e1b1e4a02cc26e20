package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/fd/fdtest"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/manager"
	"github.com/holdfast-go/holdfast/handoff/internal/process"
	"github.com/holdfast-go/holdfast/handoff/internal/storeserver"
	"github.com/holdfast-go/holdfast/units/leaktest"
)

// someState is one in which everything is there.
func someState() *state {
	return &state{
		Version: stateVersion, PID: 7, Descriptors: []int{5, 6, 7, 8, 9, 10, 11},
		Machine: json.RawMessage(`{"version":1}`), Timers: []timerState{{1, time.Second}, {2, -time.Second}},
		Processes: []processState{{
			Number: 3, Program: "/bin/app", Began: time.Unix(1, 0).UTC(),
			State: process.State{
				Main: true, PID: 12, PGID: 12, Cgroup: "/sys/fs/cgroup/a/gen-3", Output: 5, Tail: []byte("last words\xff"),
				Reaped: &generation.ExitStatus{Code: 3},
			},
			Receiver: 3, Deliverer: 4, LastDelivery: 9,
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
		Runtime:      "/run/a", Since: time.Unix(2, 0).UTC(), Reexecs: 2,
		requestsState: requestsState{Callers: []uint64{4}, Caller: 5, Last: lastWords{2, []string{"bye"}}, Verdict: Result{Verdict: generation.Verdict{Outcome: Undone, Gen: 2, Reason: "r"}, Output: []string{"o"}, Time: time.Unix(3, 0).UTC()}},
		Data:          []byte{1}, Files: []ref{7},
	}
}

// TestState: what is read is what was written, and nobody can change it.
func TestState(t *testing.T) {
	leaktest.Check(t)
	want := someState()
	f, err := want.seal()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("it can be changed: %v", err)
	}
	got, err := unseal(f)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	// A field that the encoding leaves out would be lost.
	v := reflect.ValueOf(*want)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test leaves %s out", v.Type().Field(i).Name)
		}
	}
	if _, err := unseal(fdtest.Memfd(t)); !errors.Is(err, ErrState) {
		t.Errorf("a file that is not sealed: %v", err)
	}
}

// TestStateRefusals: what nobody has written is not believed.
func TestStateRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(st *state)
		want   string
	}{
		{"of another version", func(st *state) { st.Version = "0" }, `version "0"`},
		{"a standard descriptor", func(st *state) { st.Descriptors[0] = 2 }, "descriptor 2"},
		{"a descriptor twice", func(st *state) { st.Descriptors[0] = 6 }, "descriptor 6"},
		{"a descriptor for nothing", func(st *state) { st.Files = nil }, "descriptor 7 is for nothing"},
		{"no such descriptor", func(st *state) { st.Files[0] = 8 }, "reference to descriptor 8 of 7"},
		{"no descriptor", func(st *state) { st.Memory = 0 }, "reference to descriptor 0"},
		{"two uses", func(st *state) { st.Sockets[0].File = 1 }, "or two"},
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
		{"no PID", func(st *state) { st.PID = 0 }, "PID 0"},
		{"no store", func(st *state) { st.Limit = 0 }, "0 entries"},
	} {
		st := someState()
		c.change(st)
		b, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseState(b); !errors.Is(err, ErrState) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	st := someState()
	st.Data = make([]byte, maxState)
	if _, err := st.encode(); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("a state that is too large: %v", err)
	}
}

// TestInherit: variables that lead to no state.
func TestInherit(t *testing.T) {
	if h, err := Inherit(); h != nil || err != nil {
		t.Errorf("without them: %v, %v", h, err)
	}
	foreign, err := someState().seal()
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	number := func(f *os.File) (text string) {
		err := fd.With(f, func(fd int) error {
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) // Inherit closes it
			text = strconv.Itoa(dup)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for text, want := range map[string]string{
		"":                      "want a descriptor",
		"2":                     "want a descriptor",
		"no":                    "want a descriptor",
		number(fdtest.Memfd(t)): "no sealed file",
		number(foreign):         "it is of process 7",
	} {
		t.Setenv(envState, text)
		if h, err := Inherit(); h != nil || !errors.Is(err, ErrState) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, h, err, want)
		}
		if _, ok := os.LookupEnv(envState); ok {
			t.Errorf("%q stays", text)
		}
	}
}

// FuzzState: a state is understood whole, or refused.
func FuzzState(f *testing.F) {
	b, err := someState().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add(bytes.Replace(b, []byte(`"1"`), []byte(`"2"`), 1))
	f.Add([]byte(`{"version":"1"}`))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseState(b)
		if err != nil {
			if !errors.Is(err, ErrState) {
				t.Fatal(err)
			}
			return
		}
		again, err := st.encode()
		if err != nil {
			t.Fatal(err)
		}
		same, err := parseState(again)
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		if last, err := same.encode(); err != nil || !bytes.Equal(last, again) {
			t.Fatalf("%v: %s, and then %s", err, again, last)
		}
	})
}
