package generation

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata anew")

// lives are what setups does not come to: what goes wrong late, twice or together
// with something else.
func lives() []setup {
	var (
		two     = Options{MaxGenerations: 2}
		reload  = Reload{Caller: 1}
		hold    = Reload{Caller: 1, Hold: true}
		dry     = Reload{Caller: 1, DryRun: true}
		plain   = []Event{Start{}, Spawned{1}, ready(1)}
		serving = []Event{Start{}, Spawned{1}, resumable(1)}
		handing = []Event{Start{}, Spawned{1}, resumable(1), reload, Spawned{2}, resumable(2)}
		code    = func(n uint64, c int) Event { return Exited{Gen: n, Status: ExitStatus{Code: c}} }
	)
	on := func(base []Event, more ...Event) []Event { return slices.Concat(base, more) }
	return []setup{
		{"the first one cannot be started: the service ends at once", Options{}, []Event{Start{}, SpawnFailed{1, "no such file"}}},
		{"the first one ends before it is ready: likewise, with its status and what it said", Options{},
			[]Event{Start{}, Spawned{1}, Exited{Gen: 1, Status: ExitStatus{Code: 3}, Why: "ERRNO=2"}, Emptied{1}}},
		{"the first one is not ready in time", Options{}, []Event{Start{}, Spawned{1}, timeout(1), Emptied{1}, code(1, 0)}},
		{"the first one is not ready in time, and it is known what it does instead", Options{},
			[]Event{Start{}, Spawned{1}, Waiting{1, "does not listen"}, Waiting{1, "holds a socket and does not wait on it"}, timeout(1), Emptied{1}, code(1, 0)}},
		{"the first one is unfit", Options{}, []Event{Start{}, Spawned{1}, Unfit{1, "it accepts no clients"}, Emptied{1}, code(1, 0)}},
		{"a successor is silent before it is ready", Options{}, on(serving, reload, Spawned{2}, Silent{2}, Emptied{2}, code(2, 0))},
		{"a successor is unfit before it is ready", Options{}, on(serving, reload, Spawned{2}, Unfit{2, "it answered 503"}, Emptied{2}, code(2, 0))},
		{"a successor is unfit in its probation", Options{Probation: time.Second}, on(serving, reload, Spawned{2}, ready(2), Unfit{2, "nobody accepts"}, Emptied{2}, code(2, 0))},
		{"a successor is unfit while it takes over", Options{}, on(handing, Unfit{2, "nobody accepts"}, Resumed{1}, Emptied{2}, code(2, 0))},
		{"the one that serves is not replaced for being unfit", Options{}, on(serving, Unfit{1, "nobody accepts"})},
		{"a crash loop ends in time, and a generation that settles ends it, too", Options{GiveUpAfter: time.Minute, MaxDeaths: 1},
			on(serving, Exited{Gen: 1, Status: ExitStatus{Code: 1}, After: 200 * time.Millisecond}, Emptied{1}, ofKind(BackoffTimer),
				SpawnFailed{2, "no such file"}, ofKind(BackoffTimer), Spawned{3}, ready(3), timeout(3),
				Exited{Gen: 3, Status: ExitStatus{Signal: 11}, Why: "ERRNO=5", After: 12 * time.Second}, Emptied{3}, ofKind(GiveUpTimer))},
		{"a crash loop is given up once the one that starts has died, too", Options{GiveUpAfter: time.Minute},
			on(serving, code(1, 1), Emptied{1}, ofKind(BackoffTimer), Spawned{2}, ofKind(GiveUpTimer), code(2, 1), Emptied{2})},
		{"a crash loop begins", Options{GiveUpAfter: time.Minute}, on(serving, code(1, 1), Emptied{1})},
		{"a stop in a crash loop", Options{GiveUpAfter: time.Minute}, on(serving, code(1, 1), Emptied{1}, Stop{})},
		{"a signal ends the one that serves", Options{}, on(serving, Exited{Gen: 1, Status: ExitStatus{Signal: 9}}, Emptied{1}, timeout(0))},
		{"one that serves stops by itself and says why", Options{}, on(serving, Stopping{Gen: 1, Why: "BUSERROR=a.b"}, Emptied{1}, code(1, 0))},
		{"one that drains does not end in time, nor when it is killed", Options{}, on(plain, reload, Spawned{2}, ready(2), timeout(1), timeout(1))},
		{"one that was given up appears after all", Options{}, on(serving, reload, timeout(2), timeout(2), Spawned{2}, Ready{Gen: 2}, Spawned{9})},
		{"one that was killed while it was being made appears, and is killed once", Options{}, on(serving, reload, timeout(2), Spawned{2}, Spawned{2}, code(2, 0), Emptied{2})},
		{"one that was killed while it was being made cannot be made", Options{}, on(serving, reload, timeout(2), SpawnFailed{2, "no such file"})},
		{"what ends is told twice", Options{}, on(serving, Stop{}, code(1, 0), code(1, 3), Emptied{1})},
		{"the status of one that drained before the stop is not the service's", Options{}, on(plain, reload, Spawned{2}, ready(2), Stop{}, code(1, 3), Emptied{1}, code(2, 0), Emptied{2})},
		{"the status of one that was not ready is not the service's", Options{}, []Event{Start{}, Spawned{1}, Stop{}, code(1, 3), Emptied{1}}},
		{"the status of one that was ready beside the other is", Options{Probation: time.Second}, on(serving, reload, Spawned{2}, ready(2), Stop{}, code(2, 4), Emptied{2}, code(1, 3), Emptied{1})},
		{"the status of one that resumes is", Options{}, on(handing, code(2, 1), Emptied{2}, Stop{}, code(1, 4), Emptied{1})},
		{"the service gives up, and the silent one's status is not its own", Options{MaxDeaths: 1}, on(serving, Silent{1}, code(1, 4), Emptied{1})},
		{"the service gives up with status 0, and the silent one's status is not its own", Options{MaxDeaths: 2},
			on(serving, Silent{1}, timeout(0), Spawned{2}, code(2, 0), Emptied{2}, code(1, 4), Emptied{1})},
		{"a stop with two that drain is hurried: both are", Options{}, on(plain, reload, Spawned{2}, ready(2), Stop{}, Hurry{}, Hurry{})},
		{"a stop during the pause before a respawn", Options{}, on(serving, Emptied{1}, code(1, 3), Stop{})},
		{"a stop once the pause is over, and there was no room", two, on(plain, Reload{}, ready(2), code(2, 3), timeout(0), Stop{})},
		{"a stop while a reload that failed is undone", Options{}, on(handing, code(2, 5), Stop{})},
		{"a stop with reloads that wait", Options{}, []Event{Start{}, reload, Reload{Caller: 2, Program: "/bin/next"}, Stop{}}},
		{"the service gives up with reloads that wait", Options{}, []Event{Start{}, reload, Spawned{1}, Emptied{1}, code(1, 3)}},
		{"the predecessor dies while it resumes", Options{}, on(handing, code(2, 5), Emptied{2}, code(1, 3), Emptied{1}, timeout(0))},
		{"the predecessor falls silent while it hands over, and resumes", Options{}, on(handing, Silent{1}, code(2, 5), Emptied{2}, Resumed{1}, timeout(0))},
		{"the predecessor dies while it resumes, at the limit of deaths", Options{MaxDeaths: 1}, on(handing, code(2, 5), Emptied{2}, code(1, 3))},
		{"the predecessor falls silent and resumes, at the limit of deaths", Options{MaxDeaths: 1}, on(handing, Silent{1}, code(2, 5), Emptied{2}, Resumed{1})},
		{"the predecessor does not resume in time", Options{}, on(handing, code(2, 5), Emptied{2}, timeout(1), timeout(0))},
		{"the predecessor tells of a release that was another's", Options{}, on(handing, Released{1, 9}, Released{1, 2}, Released{1, 2})},
		{"the predecessor does not release in time", Options{}, on(handing, timeout(1), Released{1, 2})},
		{"the successor is gone at once while it takes over", Options{}, on(handing, Emptied{2}, code(2, 5), Resumed{1})},
		{"a dry run whose predecessor dies before it starts", Options{}, on(serving, dry, code(1, 3), Emptied{1})},
		{"a dry run whose predecessor dies", Options{}, on(serving, dry, Spawned{2}, Emptied{1}, code(1, 3), code(2, 0), Emptied{2})},
		{"a dry run whose predecessor falls silent goes on", Options{}, on(serving, dry, Spawned{2}, Silent{1}, ready(2))},
		{"a dry run with hold", Options{}, on(serving, Reload{Caller: 7, DryRun: true, Hold: true})},
		{"a hold where nobody serves: it is committed at once", Options{}, on(serving, Emptied{1}, code(1, 3), hold, Spawned{2}, ready(2))},
		{"an abort where nobody serves", Options{}, on(serving, Emptied{1}, code(1, 3), reload, Spawned{2}, Abort{7})},
		{"an abort of a respawn", Options{}, on(serving, Emptied{1}, code(1, 3), timeout(0), Spawned{2}, Abort{7})},
		{"an abort of one that is held", Options{}, on(serving, hold, Spawned{2}, ready(2), Abort{7}, code(2, 0), Emptied{2})},
		{"questions before the start", Options{}, []Event{Reload{Caller: 7, DryRun: true, Hold: true}, Commit{8}, Abort{9}, Hurry{}}},
		{"questions while it stops", Options{}, on(serving, Stop{}, Reload{Caller: 7}, Commit{8}, Abort{9}, Reload{})},
		{"one caller asks twice", Options{}, on(serving, reload, Reload{Caller: 2, Program: "/bin/next", Hold: true}, Reload{Caller: 2, Program: "/bin/next", Hold: true}, Spawned{2}, resumable(2), timeout(1), ready(3))},
		{"a reload waits for room where nobody serves", two, on(plain, Reload{}, ready(2), code(2, 3), reload, timeout(2), Emptied{1}, code(1, 0))},
		{"a reload waits for room when the last one dies", two, on(plain, Reload{}, ready(2), reload, code(2, 3), Emptied{2})},
		{"the time to give up passes while one starts that then serves", Options{GiveUpAfter: time.Minute},
			on(serving, Emptied{1}, code(1, 3), ofKind(BackoffTimer), Spawned{2}, ofKind(GiveUpTimer), ready(2))},
		{"one dies at the limit of deaths while its successor starts", Options{MaxDeaths: 1}, on(serving, reload, Spawned{2}, Silent{1}, ready(2))},
		{"a reload of another program by signal", Options{}, on(serving, Reload{Program: "/bin/next"}, ready(2), code(1, 0), Emptied{1})},
	}
}

// TestLives holds all that comes of each event, what is logged and told included,
// against testdata/lives.txt. There an event with nothing below it has come to nothing,
// or the life has begun like one before. After a change that is meant, write it anew and read
// what git diff shows:
//
//	go test -run TestLives ./handoff/internal/generation -update
func TestLives(t *testing.T) {
	var b strings.Builder
	told := make(map[string]bool) // the beginnings of which there is all in a life before
	for _, s := range slices.Concat(setups(), lives()) {
		m := New(s.o)
		fmt.Fprintf(&b, "# %s\n", s.name)
		begins := fmt.Sprint(s.o)
		for _, e := range s.events {
			if of, ok := e.(timerOf); ok {
				e = of.of(t, m)
			}
			fmt.Fprintln(&b, e)
			begins += fmt.Sprintf("; %+v", e)
			for _, f := range m.Handle(e) {
				if !told[begins] {
					fmt.Fprintf(&b, "    %v\n", f)
				}
			}
			told[begins] = true
		}
		fmt.Fprintf(&b, "= %v", m.Situation())
		for _, g := range m.Generations() {
			fmt.Fprintf(&b, "; %d %v %q silent:%t owns:%t", g.Number, g.State, g.Program, g.Silent, g.Owns)
		}
		if v := m.LastVerdict(); v.Outcome != 0 {
			fmt.Fprintf(&b, "; last %v", v)
		}
		if d := m.Down(); d != "" {
			fmt.Fprintf(&b, "; down: %s", d)
		}
		fmt.Fprint(&b, "\n\n")
	}
	path := filepath.Join("testdata", "lives.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, wants := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	life := ""
	for i := range max(len(got), len(wants)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(wants) {
			w = wants[i]
		}
		if strings.HasPrefix(w, "# ") {
			life = w
		}
		if g != w {
			t.Fatalf("testdata/lives.txt:%d, in the life %q:\n got %s\nwant %s", i+1, life, g, w)
		}
	}
}
