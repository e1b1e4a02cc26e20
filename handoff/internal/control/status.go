package control

import (
	"context"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// A Supervisor is what the interface controls. Its methods are called from
// several goroutines at once.
//
// The end of ctx ends the wait of the caller and not the work: a method whose
// ctx has ended returns soon, also if it had ended before. ctx is that of Serve
// and not one of the client: a client that goes away changes nothing.
//
// A method that fails returns an error for which errors.Is finds ErrNotHeld,
// ErrStopping, ErrRefused or ErrUndone, where one of them fits; a Verdict that
// is undone or refused needs none.
type Supervisor interface {
	// Reload starts a successor and returns the verdict.
	Reload(ctx context.Context, r ReloadRequest) (Verdict, error)

	// Commit ends the wait of a successor that is held, or in its probation, and
	// returns once it serves or was undone.
	Commit(ctx context.Context) (Verdict, error)

	// Abort undoes a successor before the commit.
	Abort(ctx context.Context) (Verdict, error)

	// Drain takes the service out of a load balancer's rotation, after lameDuck, and
	// returns when it is out or that was undone.
	Drain(ctx context.Context, lameDuck time.Duration) (Verdict, error)

	// Undrain brings it back, and returns when it serves.
	Undrain(ctx context.Context) (Verdict, error)

	// Reexec replaces this program in place. It returns only if that failed: then
	// all is as it was.
	Reexec(ctx context.Context) error

	// Status returns how the service is, and a channel that is closed once that
	// has changed.
	Status(ctx context.Context) (s Status, changed <-chan struct{}, err error)
}

// A ReloadRequest says what to start. The zero value is the configured program,
// and the commit follows by itself.
type ReloadRequest struct {
	Hold    bool   `json:"hold,omitempty"`    // wait for Commit or Abort once it is ready
	DryRun  bool   `json:"dryRun,omitempty"`  // only see whether it gets ready
	Program string `json:"program,omitempty"` // an absolute path: start this instead
}

// maxPath is PATH_MAX less its NUL, path_resolution(7).
const maxPath = 4095

// invalid returns the name of a parameter that makes no sense, and false, if there
// is one.
func (r ReloadRequest) invalid() (name string, ok bool) {
	switch {
	case r.Program != "" && (!filepath.IsAbs(r.Program) || len(r.Program) > maxPath || strings.ContainsRune(r.Program, 0)):
		return "program", false
	case r.Hold && r.DryRun:
		return "dryRun", false
	}
	return "", true
}

// An Action is what a verdict is on.
type Action string

const (
	ActionReload  Action = "reload"
	ActionCommit  Action = "commit"
	ActionAbort   Action = "abort"
	ActionDrain   Action = "drain"
	ActionUndrain Action = "undrain"
	ActionReexec  Action = "reexec"
)

// An Outcome is a verdict in one word.
type Outcome string

const (
	Done    Outcome = "done"
	Held    Outcome = "held"    // the successor is ready and waits for Commit or Abort
	Undone  Outcome = "undone"  // it was started, and the service is as before
	Refused Outcome = "refused" // nothing was started
)

// A Verdict is what became of a request.
type Verdict struct {
	Action     Action    `json:"action"`
	Outcome    Outcome   `json:"outcome"`
	Generation uint64    `json:"generation,omitempty"` // the one it is about; 0: none was started
	Reason     string    `json:"reason,omitempty"`     // why it was undone or refused
	Output     []string  `json:"output,omitempty"`     // the last lines of a failed generation's standard error
	Time       time.Time `json:"time"`
}

// Err returns an *UndoneError for a verdict that is undone, an error for which
// errors.Is finds ErrRefused for one that is refused, and otherwise nil.
func (v Verdict) Err() error {
	switch v.Outcome {
	case Undone:
		return &UndoneError{Generation: v.Generation, Reason: v.Reason, Output: v.Output}
	case Refused:
		return &requestError{kind: ErrRefused, reason: v.Reason}
	}
	return nil
}

// A Status is how a service is. In it and in a Generation, the zero value of a
// field that may be absent is something not known.
type Status struct {
	Situation   string       `json:"situation"` // such as "serving"
	PID         int          `json:"pid"`       // of handoffd, the main process of the service
	Version     string       `json:"version"`   // of handoffd
	Started     time.Time    `json:"started"`   // when handoffd was; not its replacement
	Reexecs     uint64       `json:"reexecs"`   // how often handoffd was replaced since
	Generations []Generation `json:"generations"`
	LastVerdict *Verdict     `json:"lastVerdict,omitempty"`
	Down        string       `json:"down,omitempty"`   // why none serves any more, and what comes next
	Output      []string     `json:"output,omitempty"` // with Down: the last lines of the last generation's standard error
	Notes       []string     `json:"notes,omitempty"`  // what is not as it could be
}

// A Generation is one run of the program.
type Generation struct {
	Number  uint64    `json:"number"`
	State   string    `json:"state"` // such as "serving" or "draining"
	Program string    `json:"program,omitempty"`
	PID     int       `json:"pid,omitempty"` // of its main process
	Started time.Time `json:"started,omitzero"`
	Version string    `json:"version,omitempty"` // what it says of itself
	Status  string    `json:"status,omitempty"`  // its STATUS= of sd_notify(3)
	Carried uint64    `json:"carried,omitempty"` // connections taken over from its predecessor
	CPUUSec uint64    `json:"cpuUSec,omitempty"` // processor time of its cgroup, in microseconds
	Memory  uint64    `json:"memory,omitempty"`  // of its cgroup, in bytes
}

// forWire returns s with its verdict's output cut to what fits into an answer,
// and with a list where there are no generations.
func (s Status) forWire() Status {
	if s.Generations == nil {
		s.Generations = []Generation{} // null is not a list
	}
	if s.LastVerdict != nil {
		v := s.LastVerdict.forWire()
		s.LastVerdict = &v
	}
	s.Output = lastLines(s.Output)
	return s
}

func (v Verdict) forWire() Verdict {
	v.Output = lastLines(v.Output)
	return v
}

// maxOutput bounds the output in an answer, in bytes.
const maxOutput = 32 << 10

// lastLines returns those of the last lines that fit into maxOutput, and at
// least the end of the last one.
func lastLines(lines []string) []string {
	left := maxOutput
	for i := len(lines) - 1; i >= 0; i-- {
		if left -= len(lines[i]) + 1; left < 0 {
			if i == len(lines)-1 {
				return []string{tail(lines[i], maxOutput)}
			}
			return lines[i+1:]
		}
	}
	return lines
}

// tail returns the last n bytes of s or less, beginning with a whole character.
func tail(s string, n int) string {
	s = s[max(0, len(s)-n):]
	for i := range min(utf8.UTFMax, len(s)) {
		if utf8.RuneStart(s[i]) {
			return s[i:]
		}
	}
	return s
}
