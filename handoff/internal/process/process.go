// Package process starts, watches, signals and ends the processes of generations: each
// generation is a main process and all that come from it.
//
// It decides nothing. Whoever does, the owner, is one goroutine; it asks a [Runner] for
// generations, and hears of them by [Events].
//
// [Children] is the only Runner: generations are children of this process. The
// interfaces hold nothing that another kind of Runner lacks, such as one for which each
// generation is a unit of the service manager: cgroup folders, process groups, wait(2)
// and the step before a program stay inside.
package process

import (
	"context"
	"os"
	"os/exec"
	"syscall"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/handoff/internal/fd"
	"github.com/holdfast-go/holdfast/handoff/internal/generation"
)

// A Runner makes generations. The owner calls its methods, but for Halt and Launch.
type Runner interface {
	// Open begins to watch processes. An error says that no generation can be run.
	Open() error
	// Start begins to make a generation and returns at once: Events.Started or
	// StartFailed follows. Spec's files are closed by the Runner, also after an error,
	// which says that nothing of the generation is left.
	Start(Spec) (Generation, error)
	// Restore returns a generation as a program before this one in the same process has
	// written it down. Nothing is done with it before Resume.
	Restore(number uint64, st State, file func(fd.Ref) *os.File) (Generation, error)
	// Resume goes on with what was restored, after Open, and may call Events at once.
	Resume()
	// Halt returns when nothing changes any more that a Snapshot holds, but for what
	// the owner does, and nothing is started, until resume is called. An error says why
	// that is not to be had, or that ctx has ended while a generation was being started;
	// then all goes on. The owner must not call it, and must serve what is posted
	// meanwhile.
	Halt(ctx context.Context) (resume func(), err error)
	// Launch starts a child of this process that is no generation's, and returns where
	// its end is told, once. Anybody may call it. It waits, unless ctx ends, while all
	// is halted.
	Launch(ctx context.Context, cmd *exec.Cmd) (ended <-chan generation.ExitStatus, err error)
	// Snapshot returns what Restore's Runner has to know beforehand.
	Snapshot() RunnerState
	// Describe says what is not as it could be; "" is nothing.
	Describe() string
	// Close stops watching, and returns when Events are told no more. Generations may
	// still be asked, and forgotten.
	Close()
}

// A Spec says what a generation is to be.
type Spec struct {
	Number uint64
	Path   string   // of the program
	Args   []string // the program's name among them
	Env    []string // HANDOFF_SOCKET and what is about passed files are added
	Files  []activation.NamedFile
	Socket *os.File // the generation's end of HANDOFF_SOCKET
}

// Events tell what became of generations. The owner runs all but Heard, by the way of
// the function post that the Runner was given, or from within a method of the Runner or
// a Generation. They may come late: a main process's end after that of all others.
type Events interface {
	// Started: the program runs.
	Started(number uint64)
	// StartFailed: it does not, and nothing of it is left but what Forget lets go of.
	StartFailed(number uint64, reason error)
	// Exited: the main process has ended.
	Exited(number uint64, status generation.ExitStatus)
	// Emptied: no process of the generation is left.
	Emptied(number uint64)
	// Heard returns, on another goroutine than the owner's, when the owner has dealt
	// with all that a generation had said until it was called, or after a deadline of
	// its own. A Runner waits for it before it tells Exited, since a main process may
	// have named another one before it ended.
	Heard(number uint64)
}

// A Generation is one that was started, or is about to be. The owner calls its methods,
// but for Processes.
type Generation interface {
	// Main returns the PID of the main process, and whether it runs as far as Events
	// were told. Before Started the PID is 0; after Exited it is that of the last one.
	Main() (pid int, alive bool)
	// SetMain makes another process of the generation its main one. An error says that
	// pid is none.
	SetMain(pid int) error
	// Contains reports whether pid is a process of the generation, or has just been.
	Contains(pid int) bool
	// Processes lists the generation's processes. After Started anybody may call it.
	Processes() []int
	// Signal sends a signal to the main process, and nothing where there is none.
	Signal(sig syscall.Signal) error
	// Kill ends all processes.
	Kill() error
	// Freeze has all processes stand still until thaw is called, which is to be soon.
	// After an error they go on. After Started anybody may call it, and thaw.
	Freeze() (thaw func(), err error)
	// Usage returns the memory in bytes and the CPU time in microseconds, each -1 where
	// it is not accounted for.
	Usage() (memory, cpu int64)
	// Output returns the last lines that were written to standard error.
	Output() []string
	// Snapshot returns what Restore needs. add returns the place by which Restore finds
	// a duplicate of a file.
	Snapshot(add func(*os.File) fd.Ref) State
	// Forget lets go of all that is kept for the generation. One that is started later
	// than that is killed, and Events tell nothing more.
	Forget() error
}
