package generation

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRules drives the machine through random lives of a service, and holds what
// it does against the rules after each event. A plain run is some 10,000 events; 2.4
// million took 21 s of one core with
//
//	go test -run TestRules ./handoff/internal/generation -rapid.checks=25000
//
// With GENERATION_HISTORY=1 a failure tells what had happened before.
func TestRules(t *testing.T) {
	seen := make(map[string]int)
	steps := 0
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		// Long lives, which a failure still reduces to short ones.
		n := rapid.SampledFrom([]int{0, 400}).Draw(t, "at least")
		for _, v := range rapid.SliceOfN(rapid.Uint64(), n, 500).Draw(t, "choices") {
			if !w.step(v) {
				break
			}
		}
		if rapid.Bool().Draw(t, "finish well") {
			w.finishWell()
		} else {
			w.finishAlone()
		}
		steps += w.steps
		for what, n := range w.seen {
			seen[what] += n
		}
	})
	t.Logf("%d events; %v", steps, seen)
	want := []string{"Spawn", "Release", "Own", "Kill", "answer done", "answer undone", "answer held", "answer refused", "restored", "stale"}
	if steps > 100_000 { // so many that nothing is left to chance
		want = append(want, "Resume", "log resumes", "log room", "log abandoned", "log gave-up", "respawn", "delivered", "finished well",
			"finished serving", "finished stopped", "timer release", "timer take", "timer resume", "timer drain", "timer hold", "timer probation", "timer hurry", "timer give up", "unfit", "signal refused")
	}
	for _, what := range want {
		if seen[what] == 0 {
			t.Errorf("%q did not take place", what)
		}
	}
}

func randomWorld(t *rapid.T) *world {
	o := Options{
		MaxGenerations: rapid.IntRange(2, 5).Draw(t, "max generations"),
		MaxDeaths:      rapid.SampledFrom([]int{1, 3, 50}).Draw(t, "max deaths"),
	}
	if rapid.Bool().Draw(t, "probation") {
		o.Probation = time.Second
	}
	if rapid.Bool().Draw(t, "give up after") {
		o.GiveUpAfter = time.Minute
	}
	w := newWorld(o, func(s string) { t.Fatal(s) })
	w.calm = rapid.SampledFrom([]uint64{1, 4, 16, 64}).Draw(t, "calm")
	w.keepHistory = os.Getenv("GENERATION_HISTORY") != ""
	return w
}

// FuzzRules looks for lives that break a rule, by coverage. Each 8 bytes choose
// what happens next.
func FuzzRules(f *testing.F) {
	f.Add([]byte("start--spawned-ready---reload--spawned-ready---released"), uint8(0))
	f.Add(make([]byte, 400), uint8(0x35))
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz"), uint8(0x7a))
	f.Fuzz(func(t *testing.T, b []byte, o uint8) {
		w := newWorld(Options{
			MaxGenerations: 2 + int(o&3),
			MaxDeaths:      1 + int(o>>2&7),
			Probation:      time.Duration(o >> 5 & 1),
		}, func(s string) { t.Fatal(s) })
		w.calm = uint64(1) << (o >> 6 * 2)
		for ; len(b) >= 8; b = b[8:] {
			if !w.step(binary.LittleEndian.Uint64(b)) {
				break
			}
		}
		w.finishAlone()
	})
}
