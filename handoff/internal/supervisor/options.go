package supervisor

import (
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/generation"
	"github.com/holdfast-go/holdfast/handoff/internal/probe"
	"github.com/holdfast-go/holdfast/handoff/internal/storeserver"
)

// DefaultStore is how many descriptors generations may store where neither the
// manager nor Options say so.
const DefaultStore = storeserver.DefaultLimit

// DefaultDrainTimeout is that of Limits.
const DefaultDrainTimeout = generation.DefaultDrainTimeout

// What Options leave out.
const (
	DefaultAcceptTimeout = 10 * time.Second
	DefaultProbeTimeout  = 10 * time.Second
)

// A Probe asks a generation for an answer before it counts as ready.
type Probe = probe.Probe

// ParseProbe reads http://NAME/PATH, tcp, tcp:NAME or a command.
func ParseProbe(s string) (Probe, error) { return probe.Parse(s) }

// Options say what to run, and how. Program must be given; every other field
// works as it is.
type Options struct {
	// Program is the program and its arguments. The first is looked up in PATH at
	// each start, as is what a symbolic link leads to.
	Program []string
	// EnvironmentFile is read at each start: see ReadEnvironment. "" is none.
	EnvironmentFile string
	// EnvDir is read at each start, after EnvironmentFile: see ReadEnvDir. "" is none.
	EnvDir string
	// Compat says by which variables generations find their sockets, too. "" is
	// LISTEN_FDS alone.
	Compat Compat
	// Listen are sockets to bind where the manager passed none.
	Listen []Address
	// NoSockets says that the program needs none passed. Without it, and with
	// neither passed sockets nor Listen, New fails: a program that binds its own
	// beside those of its socket unit would hide a mistake in the units.
	NoSockets bool
	// Ready says when a generation is able to serve.
	Ready Ready
	// AcceptLater says that a generation that has said READY=1 need not wait for
	// clients on its sockets yet: a standby that waits to be the leader.
	AcceptLater bool
	// AcceptTimeout is how long one may take for that after READY=1;
	// DefaultAcceptTimeout.
	AcceptTimeout time.Duration
	// Probe, if not nil, asks each generation for answers before it counts as ready,
	// for at most ProbeTimeout; DefaultProbeTimeout.
	Probe        *Probe
	ProbeTimeout time.Duration
	// NotifyAccess says whose notifications are heard.
	NotifyAccess NotifyAccess
	// StopSignal ends a generation; SIGTERM.
	StopSignal syscall.Signal
	// PauseWorkers is how long StopSignal waits, at most, for the workers of a
	// generation to be without a connection: see package workers. 0 is not at all.
	PauseWorkers time.Duration
	// Watchdog is the longest silence of a generation; 0 is that which the manager
	// takes from this process, and none where it asks for no signs of life.
	Watchdog time.Duration
	// Store is how many descriptors generations may store; 0 is what the manager
	// takes ($FDSTORE) less the one that is this package's own, or DefaultStore
	// where it does not say (before systemd v254), or takes none.
	Store int
	// RuntimeDir is where sockets are made, and is there. "" is the first of
	// $RUNTIME_DIRECTORY, else a temporary folder.
	RuntimeDir string
	// Limits are how long generations may take for what.
	Limits Limits
	// Log gets what a person wants to find in the journal; nil is nothing.
	Log *slog.Logger
}

// Limits are the time limits and caps of generations.
type Limits = generation.Options

// A NotifyAccess says which processes of a generation are heard, as NotifyAccess=
// of systemd.service(5).
type NotifyAccess int

const (
	NotifyMain NotifyAccess = iota // its main process
	NotifyAll                      // all of them, and those of this process's user
)

// ParseNotifyAccess reads main or all.
func ParseNotifyAccess(s string) (NotifyAccess, error) {
	switch s {
	case "main":
		return NotifyMain, nil
	case "all":
		return NotifyAll, nil
	}
	return 0, fmt.Errorf("%q: want main or all", s)
}
