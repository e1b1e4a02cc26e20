package generation

import (
	"fmt"
	"strings"
	"time"
)

// An Effect is something to be done: one of the types of this file. The
// supervisor does them in the order of the slice. Those that can fail, or take
// time, are answered by an event.
type Effect interface {
	fmt.Stringer
	effect() // only those of this package
}

// What is done to a generation.
type (
	// Spawn starts a generation. Spawned or SpawnFailed is the answer.
	Spawn struct {
		Gen     uint64
		Program string // "" is the configured one, looked up anew
		// Inherit: no other generation serves, so all that waits in the store goes
		// with it at its start, as systemd would have it. Otherwise it gets only what
		// two may have at once: sockets that listen or take datagrams, stored ones
		// included, files, memfds, and what package handoff leaves for everybody. What
		// has one reader (parcels, connections) goes to it by Deliver after the commit,
		// so that it can be undone without a loss.
		Inherit bool
	}

	// SendStop sends the stop signal to the main process: once, and once more where
	// the service is to end in a hurry. Exited is the answer.
	SendStop struct{ Gen uint64 }

	// Kill ends all processes of a generation at once (cgroup.kill, SIGKILL). It
	// may come more than once, and for one that has no process. Emptied is the
	// answer, and Exited, if it has not come yet.
	Kill struct{ Gen uint64 }

	// Forget ends what is kept for a generation: its cgroup, its sockets.
	Forget struct {
		Gen       uint64
		Abandoned bool // processes may be left: they did not die in time
	}
)

// What becomes of what generations store and leave.
type (
	// Deliver says to whom goes what generations store, all but its own, and what
	// waits: at once, and from now on. To 0: it waits for the next one. What
	// another was given before stays with it until Reclaim.
	Deliver struct{ To uint64 }

	// Reclaim takes back what a generation was given and has not taken, and what it
	// has stored: it waits, or goes where Deliver said. The generation is over, or does
	// not read any more, or is to begin anew.
	Reclaim struct{ Gen uint64 }

	// Release asks a generation to give up what only one may hold, and to stay able
	// to go on: it need not accept any more. Released is the answer.
	Release struct{ Gen, To uint64 }

	// AwaitTaken asks for Taken once a generation has acknowledged all that was
	// delivered to it: at once, if there is nothing, or if it does not say that it
	// knows how.
	AwaitTaken struct{ Gen uint64 }

	// Resume asks a generation that has released, or still does, to go on as before.
	// What it had stored comes back to it, at once where nobody was given it, and by
	// a later Reclaim where the successor had it. Resumed is the answer.
	Resume struct{ Gen uint64 }

	// Own tells a generation that no other holds anything any more (OWNED=1 of
	// HANDOFF_SOCKET), behind all that was delivered before.
	Own struct{ Gen uint64 }
)

// Timers. Every timer has a number of its own and fires once.
type (
	StartTimer struct {
		Timer uint64
		Kind  TimerKind
		Gen   uint64 // 0: none's
		After time.Duration
	}

	// ExtendTimer makes a timer fire no sooner than By from now.
	ExtendTimer struct {
		Timer uint64
		By    time.Duration
	}

	CancelTimer struct{ Timer uint64 }
)

// What the service manager is told, what callers are, and what is logged.
type (
	// TellReady is READY=1, the end of the start or of a reload.
	TellReady struct{}

	// TellReloading is RELOADING=1 with MONOTONIC_USEC=.
	TellReloading struct{}

	// TellStopping is STOPPING=1.
	TellStopping struct{}

	// TellStatus is STATUS=, the generations in one line.
	TellStatus struct{ Text string }

	// Answer gives a caller the verdict. Each caller gets one.
	Answer struct {
		Caller uint64
		Verdict
	}

	// Log is what a person wants to find in the journal.
	Log struct {
		Gen   uint64
		Event LogEvent
		Text  string
	}

	// Exit ends the service. It is the last effect.
	Exit struct {
		Status ExitStatus // of the generation to which it is due; zero: a clean stop
		Reason string     // why it gave up; "": a stop was asked
	}
)

// A Verdict is what became of something that was asked for.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	Gen     uint64  `json:"gen,omitempty"` // the generation it is about; 0: none was started
	Reason  string  `json:"reason,omitempty"`
}

func (v Verdict) String() string {
	var b strings.Builder
	b.WriteString(v.Outcome.String())
	if v.Gen != 0 {
		fmt.Fprintf(&b, ", generation %d", v.Gen)
	}
	if v.Reason != "" {
		fmt.Fprintf(&b, ": %s", v.Reason)
	}
	return b.String()
}

// An Outcome is a verdict in one word.
type Outcome int

const (
	Done    Outcome = iota + 1
	Held            // the successor is ready and waits for Commit or Abort
	Undone          // it was started, and the service is as before
	Refused         // nothing was started
)

func (o Outcome) String() string {
	return name(int(o), "", "done", "held", "undone", "refused")
}

// A TimerKind is what a timer is for.
type TimerKind int

const (
	ReadyTimer     TimerKind = iota + 1 // a start
	ProbationTimer                      // between ready and commit
	HoldTimer                           // the same, while a caller decides
	ReleaseTimer                        // a predecessor that releases
	TakeTimer                           // a successor that takes
	ResumeTimer                         // a predecessor that resumes
	DrainTimer                          // one that was told to stop, or stops
	KillTimer                           // one that was killed
	SettleTimer                         // one that serves: the deaths before are forgotten
	BackoffTimer                        // a respawn
	HurryTimer                          // one that drains, and is in a hurry
	GiveUpTimer                         // a service whose generations die
	timerKinds
)

func (k TimerKind) String() string {
	return name(int(k), "", "ready", "probation", "hold", "release", "take", "resume", "drain", "kill", "settle", "backoff", "hurry", "give up")
}

// A LogEvent is the kind of a log entry.
type LogEvent string

const (
	LogFailed    LogEvent = "failed"    // a generation failed, in whatever state
	LogServes    LogEvent = "serves"    // a generation is the service now
	LogLate      LogEvent = "late"      // a predecessor did not release in time
	LogResumes   LogEvent = "resumes"   // a generation is the service again
	LogReload    LogEvent = "reload"    // the verdict on a reload
	LogRefused   LogEvent = "refused"   // a reload by signal was not begun
	LogRoom      LogEvent = "room"      // a draining one was killed for the cap
	LogAbandoned LogEvent = "abandoned" // processes that could not be killed
	LogGaveUp    LogEvent = "gave-up"
)

func (Spawn) effect()         {}
func (SendStop) effect()      {}
func (Kill) effect()          {}
func (Forget) effect()        {}
func (Deliver) effect()       {}
func (Reclaim) effect()       {}
func (Release) effect()       {}
func (AwaitTaken) effect()    {}
func (Resume) effect()        {}
func (Own) effect()           {}
func (StartTimer) effect()    {}
func (ExtendTimer) effect()   {}
func (CancelTimer) effect()   {}
func (TellReady) effect()     {}
func (TellReloading) effect() {}
func (TellStopping) effect()  {}
func (TellStatus) effect()    {}
func (Answer) effect()        {}
func (Log) effect()           {}
func (Exit) effect()          {}

func (e Spawn) String() string {
	program, inherit := "the program", ""
	if e.Program != "" {
		program = fmt.Sprintf("%q", e.Program)
	}
	if e.Inherit {
		inherit = ", with what waits"
	}
	return fmt.Sprintf("spawn %d of %s%s", e.Gen, program, inherit)
}
func (e SendStop) String() string { return fmt.Sprintf("stop %d", e.Gen) }
func (e Kill) String() string     { return fmt.Sprintf("kill %d", e.Gen) }
func (e Forget) String() string {
	if e.Abandoned {
		return fmt.Sprintf("abandon %d", e.Gen)
	}
	return fmt.Sprintf("forget %d", e.Gen)
}
func (e Deliver) String() string    { return fmt.Sprintf("deliver to %d", e.To) }
func (e Reclaim) String() string    { return fmt.Sprintf("reclaim from %d", e.Gen) }
func (e Release) String() string    { return fmt.Sprintf("let %d release to %d", e.Gen, e.To) }
func (e AwaitTaken) String() string { return fmt.Sprintf("await that %d has taken all", e.Gen) }
func (e Resume) String() string     { return fmt.Sprintf("let %d resume", e.Gen) }
func (e Own) String() string        { return fmt.Sprintf("%d owns", e.Gen) }
func (e StartTimer) String() string {
	return fmt.Sprintf("timer %d: %v of %d in %v", e.Timer, e.Kind, e.Gen, e.After)
}
func (e ExtendTimer) String() string { return fmt.Sprintf("timer %d: not within %v", e.Timer, e.By) }
func (e CancelTimer) String() string { return fmt.Sprintf("timer %d: cancelled", e.Timer) }
func (TellReady) String() string     { return "READY=1" }
func (TellReloading) String() string { return "RELOADING=1" }
func (TellStopping) String() string  { return "STOPPING=1" }
func (e TellStatus) String() string  { return "STATUS=" + e.Text }
func (e Answer) String() string      { return fmt.Sprintf("answer caller %d: %v", e.Caller, e.Verdict) }
func (e Log) String() string         { return fmt.Sprintf("log %s of %d: %s", e.Event, e.Gen, e.Text) }
func (e Exit) String() string {
	if e.Reason != "" {
		return fmt.Sprintf("exit: %v: %s", e.Status, e.Reason)
	}
	return fmt.Sprintf("exit: %v", e.Status)
}

// name returns the i-th name.
func name(i int, names ...string) string {
	if i < 0 || i >= len(names) || names[i] == "" {
		return fmt.Sprintf("unknown (%d)", i)
	}
	return names[i]
}
