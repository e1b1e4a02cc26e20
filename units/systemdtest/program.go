package systemdtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Program runs f outside of `go test`, in a command such as a demonstration,
// with a t for Boot and Build. What is logged goes to w, and what f registers
// with Cleanup runs before Program returns, also when f panics.
//
// The error is what ended f by Fatal or Skip, or was reported by Error; with
// HOLDFAST_E2E unset, that of a machine that cannot run here says why. The end
// of ctx ends t.Context. Methods of t that belong to `go test` alone (Setenv,
// Chdir, ArtifactDir) must not be called.
func Program(ctx context.Context, w io.Writer, f func(t testing.TB)) error {
	ctx, cancel := context.WithCancel(ctx)
	p := &program{ctx: ctx, w: w}
	done := make(chan struct{})
	var panicked any
	// A goroutine of its own, because Fatal ends it by runtime.Goexit.
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		defer p.cleanUp()
		defer cancel()
		f(p)
	}()
	<-done
	if panicked != nil {
		panic(panicked)
	}
	return errors.Join(p.errs...)
}

// program is the testing.TB of a command.
type program struct {
	testing.TB // for its unexported method; nil
	ctx        context.Context
	w          io.Writer

	mu       sync.Mutex
	errs     []error
	skipped  bool
	cleanups []func()
}

func (p *program) cleanUp() {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return
		}
		last := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		last()
	}
}

func (p *program) report(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, errors.New(strings.TrimSuffix(text, "\n")))
}

func (p *program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

func (p *program) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.errs) > 0 && !p.skipped
}

func (p *program) Skipped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.skipped
}

func (p *program) SkipNow() {
	p.mu.Lock()
	p.skipped = true
	p.mu.Unlock()
	runtime.Goexit()
}

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "holdfast-")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (p *program) Helper()                        {}
func (p *program) Name() string                   { return "program" }
func (p *program) Context() context.Context       { return p.ctx }
func (p *program) Output() io.Writer              { return p.w }
func (p *program) Log(args ...any)                { fmt.Fprintln(p.w, args...) }
func (p *program) Logf(format string, a ...any)   { p.Log(fmt.Sprintf(format, a...)) }
func (p *program) Error(args ...any)              { p.report(fmt.Sprintln(args...)) }
func (p *program) Errorf(format string, a ...any) { p.Error(fmt.Sprintf(format, a...)) }
func (p *program) Fail()                          { p.report("failed") }
func (p *program) FailNow()                       { p.Fail(); runtime.Goexit() }
func (p *program) Fatal(args ...any)              { p.Error(args...); runtime.Goexit() }
func (p *program) Fatalf(format string, a ...any) { p.Fatal(fmt.Sprintf(format, a...)) }
func (p *program) Skip(args ...any)               { p.Error(args...); p.SkipNow() }
func (p *program) Skipf(format string, a ...any)  { p.Skip(fmt.Sprintf(format, a...)) }
