package loadtest

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// latencyOf is the histogram of these latencies.
func latencyOf(values ...time.Duration) Latency {
	h := hdrhistogram.NewPacked(lowest, highest, digits)
	for _, v := range values {
		_ = h.RecordValue(int64(v))
	}
	return Latency{h}
}

// sample is a result with something in every field.
func sample() *Result {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678900000, time.UTC)
	rest := Phase{
		Name: "rest", Start: at, Elapsed: 5 * time.Second,
		Counts:  Counts{OK: 4, Connections: 2},
		Latency: latencyOf(time.Millisecond, 2*time.Millisecond, 3*time.Millisecond, 4*time.Millisecond),
	}
	restart := Phase{
		Name: "restart", Start: at.Add(5 * time.Second), Elapsed: 1500 * time.Millisecond,
		Counts: Counts{
			OK: 1, Refused: 2, Reset: 3, Cut: 4, Wrong: 5, Status: 6, TimedOut: 7, Other: 8, Canceled: 9,
			Stale: 1, Connections: 11, Reconnected: 10,
		},
		Latency: latencyOf(509 * time.Millisecond),
	}
	return &Result{
		Workload: Workload{
			URL: "http://localhost/", Network: "unix", Address: "/run/app.sock", Clients: 32, Rate: 2000,
			KeepAlive: true, PostEvery: 4, BodySize: 1024, TimeoutNS: int64(10 * time.Second),
		},
		Total:  Merge("total", rest, restart),
		Phases: []Phase{rest, restart},
		Failures: []Failure{{
			Class: Refused, Time: at.Add(5 * time.Second), AfterNS: 1234567, Phase: "restart",
			ID: "run-4", Method: "GET", Text: "dial unix /run/app.sock: connect: connection refused",
		}, {
			Class: Cut, Time: at.Add(5100 * time.Millisecond), AfterNS: 89000, Phase: "restart", ID: "run-7", Method: "POST",
			Local: "127.0.0.1:40000", OnReused: true, Text: "header of the answer, after 0 bytes: EOF",
		}},
	}
}

// golden compares got with the file of that name in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", file, got)
	}
}

func TestJSONGolden(t *testing.T) {
	b, err := json.MarshalIndent(sample(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "result.json", append(b, '\n'))
}

func TestTextGolden(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	one := &Result{
		Workload: Workload{URL: "http://127.0.0.1/", Network: "tcp", Clients: 1, PostEvery: 1, BodySize: 10},
		Phases:   []Phase{{Name: DefaultPhase}}, Total: Phase{Name: "total"},
	}
	b.WriteString("\n")
	if err := one.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "result.txt", []byte(b.String()))
}

// TestJSONKeepsEverything reads results back, and checks that nothing differs,
// the other percentiles and merging included.
func TestJSONKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOf(rapid.Int64Range(0, int64(MaxTimeout)))
		draw := func(name string) Phase {
			p := Phase{
				Name:    rapid.String().Draw(t, name),
				Start:   time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "start"), 0).UTC(),
				Elapsed: time.Duration(rapid.Int64Range(0, int64(MaxDuration)).Draw(t, "elapsed")),
			}
			for _, class := range classes {
				*p.Counts.field(class) = rapid.Int64Range(0, MaxRequests).Draw(t, string(class))
			}
			for _, d := range durations.Draw(t, "latencies") {
				p.Latency.merge(latencyOf(time.Duration(d)))
			}
			return p
		}
		in := Result{Phases: []Phase{draw("a"), draw("b")}, Failures: sample().Failures}
		in.Total = Merge("total", in.Phases...)
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out Result
		if err := json.Unmarshal(b, &out); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(out)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%v\n%s\nread back and written again is\n%s", err, b, again)
		}
		if !reflect.DeepEqual(out.Failures, in.Failures) {
			t.Fatalf("failures %+v, want %+v", out.Failures, in.Failures)
		}
		merged := Merge("total", out.Phases...)
		for _, p := range []float64{0, 12.5, 50, 99.99, 100} {
			if got, want := merged.Latency.Percentile(p), in.Total.Latency.Percentile(p); got != want {
				t.Fatalf("p%v of what was read back and merged is %v, want %v", p, got, want)
			}
		}
	})
}

func TestBadJSON(t *testing.T) {
	for _, s := range []string{`{`, `{"name": 1}`, `{"name": "x", "histogram": "HISTx"}`, `{"histogram": "SElTVA=="}`} {
		p := Phase{Name: "before"}
		if err := json.Unmarshal([]byte(s), &p); err == nil || p.Name != "before" {
			t.Errorf("%s: error %v, phase %+v; want an error, and the phase left alone", s, err, p)
		}
	}
}

func FuzzPhaseJSON(f *testing.F) {
	b, err := json.Marshal(sample().Phases[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"histogram": "HISTFAAAABN42pNpmSzMwMDAAMSMQMgAAAwgAOo="}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Phase
		if json.Unmarshal(b, &p) != nil {
			return
		}
		_ = Merge("m", p, p)
		if _, err := json.Marshal(p); err != nil {
			t.Errorf("%q was read and cannot be written: %v", b, err)
		}
	})
}

func TestFirstOfEach(t *testing.T) {
	var all []Failure
	for i := range 20 {
		class := Cut
		if i%4 == 0 {
			class = Reset
		}
		all = append(all, Failure{Class: class, Time: time.Unix(int64(20-i), 0)})
	}
	first := firstOfEach(all)
	if len(first) != 2*MaxFailures || first[0].Time.Unix() != 1 {
		t.Fatalf("kept %v, want the first %d of both", first, MaxFailures)
	}
	for i := 1; i < len(first); i++ {
		if first[i].Time.Before(first[i-1].Time) {
			t.Errorf("failure %d is older than the one before", i)
		}
	}
}

func TestErr(t *testing.T) {
	for _, test := range []struct {
		counts Counts
		want   string
	}{
		{Counts{OK: 3, Reconnected: 1, Stale: 0}, ""},
		{Counts{OK: 3, Canceled: 2}, ""},
		{Counts{}, "no request was answered"},
		{Counts{Canceled: 2}, "no request was answered"},
		{Counts{OK: 3, Cut: 1}, "1 of 4 requests failed: ok 3, refused 0, reset 0, cut 1"},
	} {
		r := sample()
		r.Total.Counts = test.counts
		err := r.Err()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want %q", test.counts, err, test.want)
		}
	}
}

func TestOf(t *testing.T) {
	c := sample().Phases[1].Counts
	var sum int64
	for _, class := range classes {
		sum += c.Of(class)
	}
	if sum != c.Requests() || c.Failed() != 35 || c.Of("none such") != 0 {
		t.Errorf("%d by class, %d requests, %d failed; want 45, 45, 35", sum, c.Requests(), c.Failed())
	}
}
