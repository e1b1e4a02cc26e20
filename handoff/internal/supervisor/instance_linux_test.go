package supervisor

import (
	"context"

	"github.com/holdfast-go/holdfast/handoff/internal/process"
)

// A fakeGeneration has a main process, and nothing else.
type fakeGeneration struct {
	process.Generation
	pid   int
	alive bool
}

func (g fakeGeneration) Main() (pid int, alive bool) { return g.pid, g.alive }

// A fakeRunner may be halted, and nothing else.
type fakeRunner struct {
	process.Runner
	halted bool
}

func (r *fakeRunner) Halt(context.Context) (resume func(), err error) {
	r.halted = true
	return func() { r.halted = false }, nil
}

func (r *fakeRunner) Snapshot() process.RunnerState { return process.RunnerState{} }
