package generation

import (
	"fmt"
	"time"
)

// An Event is something that happened: one of the types of this file.
type Event interface {
	fmt.Stringer
	event() // only those of this package
}

// An about is an event in the life of one generation.
type about interface {
	Event
	generation() uint64
	kind() eventKind
}

// What the service is asked for. A Caller is who waits for an Answer: a number
// that the supervisor chooses anew for each call, or 0 where nobody waits, as for
// a signal.
type (
	// Start is the first event: the first generation is started.
	Start struct {
		Last uint64 // the number of the last generation before this one; 0: none
	}

	// Reload asks for a new generation.
	Reload struct {
		Caller  uint64
		Hold    bool   // wait for Commit or Abort once it is ready
		DryRun  bool   // only see whether it gets ready, then undo it
		Program string // instead of the configured one; "" is that
	}

	// Commit ends the probation, or the hold, of a ready successor.
	Commit struct{ Caller uint64 }

	// Abort undoes the successor. It is too late for that after the commit.
	Abort struct{ Caller uint64 }

	// Stop asks for the end of the service: SIGTERM.
	Stop struct{}

	// Hurry cuts the drain of a service that stops short: a second SIGINT.
	Hurry struct{}
)

// What a generation does. An event of one that is over changes nothing, so the
// supervisor need not hold back what comes late.
type (
	// Spawned tells that the process runs.
	Spawned struct{ Gen uint64 }

	// SpawnFailed tells that it could not be started. Nothing of it is left.
	SpawnFailed struct {
		Gen    uint64
		Reason string
	}

	// Ready tells that it is able to serve: READY=1 of sd_notify(3), or what the
	// supervisor takes for it.
	Ready struct {
		Gen uint64
		// Resumable: it hands over when asked to (Release) and can take that back
		// (Resume). Any other program is stopped at once by the commit.
		Resumable bool
	}

	// Waiting tells why it is not ready yet, as far as that can be seen: that becomes
	// the reason if it is not ready in time.
	Waiting struct {
		Gen uint64
		Why string // what it does, without a subject
	}

	// Unfit tells that it was found not to do what it is there for: it accepts no
	// clients, or a probe of it failed. After the handover that changes nothing.
	Unfit struct {
		Gen    uint64
		Reason string
	}

	// Stopping tells that it leaves by its own decision: STOPPING=1.
	Stopping struct {
		Gen uint64
		Why string // what it has said of the reason; "": nothing
	}

	// Silent tells that its watchdog ran out.
	Silent struct{ Gen uint64 }

	// Extend asks for more time: EXTEND_TIMEOUT_USEC=. What it waits for now gets
	// By from now on at least.
	Extend struct {
		Gen uint64
		By  time.Duration
	}

	// Released answers Release: all that only one generation may hold has been
	// saved and stored. To is the successor of that Release, so that a late answer
	// is not taken for one to a later Release.
	Released struct{ Gen, To uint64 }

	// Taken answers AwaitTaken: it has acknowledged all that was delivered to it.
	Taken struct{ Gen uint64 }

	// Resumed answers Resume: it has again what it had released.
	Resumed struct{ Gen uint64 }

	// Exited tells that its main process has ended.
	Exited struct {
		Gen    uint64
		Status ExitStatus
		Why    string        // as in Stopping
		After  time.Duration // how long it ran; 0: not known
	}

	// Emptied tells that it had processes and none is left. It may come before
	// Exited or SpawnFailed, and does not stand for them.
	Emptied struct{ Gen uint64 }
)

// TimerFired tells that a timer has run out. One that was cancelled meanwhile
// changes nothing.
type TimerFired struct {
	Timer uint64
}

// An ExitStatus is how a process ended.
type ExitStatus struct {
	Code   int `json:"code,omitempty"`
	Signal int `json:"signal,omitempty"` // not 0: this signal ended it
}

func (s ExitStatus) String() string {
	if s.Signal != 0 {
		return fmt.Sprintf("signal %d", s.Signal)
	}
	return fmt.Sprintf("exit status %d", s.Code)
}

func (Start) event()       {}
func (Reload) event()      {}
func (Commit) event()      {}
func (Abort) event()       {}
func (Stop) event()        {}
func (Hurry) event()       {}
func (Spawned) event()     {}
func (SpawnFailed) event() {}
func (Ready) event()       {}
func (Waiting) event()     {}
func (Unfit) event()       {}
func (Stopping) event()    {}
func (Silent) event()      {}
func (Extend) event()      {}
func (Released) event()    {}
func (Taken) event()       {}
func (Resumed) event()     {}
func (Exited) event()      {}
func (Emptied) event()     {}
func (TimerFired) event()  {}

func (e Spawned) generation() uint64     { return e.Gen }
func (e SpawnFailed) generation() uint64 { return e.Gen }
func (e Ready) generation() uint64       { return e.Gen }
func (e Waiting) generation() uint64     { return e.Gen }
func (e Unfit) generation() uint64       { return e.Gen }
func (e Stopping) generation() uint64    { return e.Gen }
func (e Silent) generation() uint64      { return e.Gen }
func (e Extend) generation() uint64      { return e.Gen }
func (e Released) generation() uint64    { return e.Gen }
func (e Taken) generation() uint64       { return e.Gen }
func (e Resumed) generation() uint64     { return e.Gen }
func (e Exited) generation() uint64      { return e.Gen }
func (e Emptied) generation() uint64     { return e.Gen }

// An eventKind is a column of the table of transitions.
type eventKind int

const (
	onSpawned eventKind = iota
	onSpawnFailed
	onReady
	onWaiting
	onUnfit
	onStopping
	onSilent
	onExtend
	onReleased
	onTaken
	onResumed
	onExited
	onEmptied
	onTimer
	eventKinds
)

func (Spawned) kind() eventKind     { return onSpawned }
func (SpawnFailed) kind() eventKind { return onSpawnFailed }
func (Ready) kind() eventKind       { return onReady }
func (Waiting) kind() eventKind     { return onWaiting }
func (Unfit) kind() eventKind       { return onUnfit }
func (Stopping) kind() eventKind    { return onStopping }
func (Silent) kind() eventKind      { return onSilent }
func (Extend) kind() eventKind      { return onExtend }
func (Released) kind() eventKind    { return onReleased }
func (Taken) kind() eventKind       { return onTaken }
func (Resumed) kind() eventKind     { return onResumed }
func (Exited) kind() eventKind      { return onExited }
func (Emptied) kind() eventKind     { return onEmptied }

func (e Start) String() string { return fmt.Sprintf("start after %d", e.Last) }
func (e Reload) String() string {
	return fmt.Sprintf("reload%v asked by caller %d", request{Hold: e.Hold, DryRun: e.DryRun, Program: e.Program}, e.Caller)
}
func (e Commit) String() string  { return fmt.Sprintf("commit asked by caller %d", e.Caller) }
func (e Abort) String() string   { return fmt.Sprintf("abort asked by caller %d", e.Caller) }
func (Stop) String() string      { return "stop asked" }
func (Hurry) String() string     { return "hurry asked" }
func (e Spawned) String() string { return fmt.Sprintf("%d spawned", e.Gen) }
func (e SpawnFailed) String() string {
	return fmt.Sprintf("%d could not be spawned: %s", e.Gen, e.Reason)
}
func (e Ready) String() string {
	if e.Resumable {
		return fmt.Sprintf("%d ready, resumable", e.Gen)
	}
	return fmt.Sprintf("%d ready", e.Gen)
}
func (e Waiting) String() string    { return fmt.Sprintf("%d is not ready: it %s", e.Gen, e.Why) }
func (e Unfit) String() string      { return fmt.Sprintf("%d is unfit: %s", e.Gen, e.Reason) }
func (e Stopping) String() string   { return fmt.Sprintf("%d stops by itself", e.Gen) }
func (e Silent) String() string     { return fmt.Sprintf("%d silent", e.Gen) }
func (e Extend) String() string     { return fmt.Sprintf("%d asks for %v", e.Gen, e.By) }
func (e Released) String() string   { return fmt.Sprintf("%d released to %d", e.Gen, e.To) }
func (e Taken) String() string      { return fmt.Sprintf("%d has taken all", e.Gen) }
func (e Resumed) String() string    { return fmt.Sprintf("%d resumed", e.Gen) }
func (e Exited) String() string     { return fmt.Sprintf("%d exited: %v", e.Gen, e.Status) }
func (e Emptied) String() string    { return fmt.Sprintf("%d emptied", e.Gen) }
func (e TimerFired) String() string { return fmt.Sprintf("timer %d fired", e.Timer) }
