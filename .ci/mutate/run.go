package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A runner runs tests with mutants.
type runner struct {
	dir      string
	open     bool
	verbose  bool
	maxTests int
	tests    []*test
}

// A test is one test function.
type test struct {
	name    string
	binary  string
	dir     string // its package's
	flags   []string
	took    time.Duration
	reaches map[int]bool
}

// build makes the test binary of a package, and lists the tests in it.
func (r *runner) build(overlay, pkg, run, skip string) error {
	only, err := regexp.Compile(run)
	if err != nil {
		return err
	}
	not, err := regexp.Compile(skip)
	if err != nil {
		return err
	}
	dir, err := output("go", "list", "-f", "{{.Dir}}", pkg)
	if err != nil {
		return err
	}
	dir = strings.TrimSpace(dir)
	binary := filepath.Join(r.dir, "test"+strconv.Itoa(len(r.tests)))
	if _, err := output("go", "test", "-c", "-vet=off", "-overlay="+overlay, "-o", binary, pkg); err != nil {
		return err
	}
	list := func(flags ...string) (string, error) {
		cmd := exec.Command(binary, append(flags, "-test.list", ".")...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	flags := []string{"-rapid.nofailfile"}
	out, err := list(flags...)
	if err != nil {
		flags = nil
		out, err = list()
	}
	if err != nil {
		return fmt.Errorf("the tests of %s: %w\n%s", pkg, err, out)
	}
	for name := range strings.FieldsSeq(out) {
		if strings.HasPrefix(name, "Benchmark") || !only.MatchString(name) || skip != "" && not.MatchString(name) {
			continue
		}
		r.tests = append(r.tests, &test{name: name, binary: binary, dir: dir, flags: flags, reaches: make(map[int]bool)})
	}
	return nil
}

// baseline runs each test without a mutant, and sees which mutants it reaches.
func (r *runner) baseline() error {
	log := filepath.Join(r.dir, "reached")
	var total time.Duration
	kept := r.tests[:0]
	for _, t := range r.tests {
		if err := os.WriteFile(log, nil, 0o666); err != nil {
			return err
		}
		began := time.Now()
		out, err := r.run(t, 10*time.Minute, "MUTATE_REACHED="+log)
		t.took = time.Since(began)
		if err != nil {
			fmt.Printf("without a mutant %s fails, and is left out: %v\n%s\n", t.name, err, out)
			continue
		}
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		for line := range strings.FieldsSeq(string(text)) {
			n, _ := strconv.Atoi(line)
			t.reaches[n] = true
		}
		total += t.took
		kept = append(kept, t)
	}
	r.tests = kept
	if len(kept) == 0 {
		return errors.New("no test")
	}
	slices.SortFunc(r.tests, func(a, b *test) int { return int(a.took - b.took) })
	fmt.Printf("%d tests take %v\n", len(r.tests), total.Round(time.Millisecond))
	return nil
}

// try returns the mutants that live.
func (r *runner) try(mutants []*mutant) (survivors []*mutant) {
	began, timeouts, unreached := time.Now(), 0, 0
	for i, m := range mutants {
		killer, timeout, tried := r.kill(m)
		switch {
		case killer != nil:
			if timeout {
				timeouts++
			}
			if r.verbose {
				fmt.Printf("killed by %s: %s:%d %s\n", killer.name, m.file, m.line, m.key())
			}
		default:
			note := "lives"
			if tried == 0 {
				note = "is not reached"
				unreached++
			}
			fmt.Printf("%s: %s:%d %s\n", note, m.file, m.line, m.key())
			survivors = append(survivors, m)
		}
		if (i+1)%100 == 0 {
			fmt.Printf("... %d of %d, %d live, %v\n", i+1, len(mutants), len(survivors), time.Since(began).Round(time.Second))
		}
	}
	fmt.Printf("%d mutants, %d killed (%d of them by a time limit), %d live, %d of these are not reached\n",
		len(mutants), len(mutants)-len(survivors), timeouts, len(survivors), unreached)
	return survivors
}

// kill returns the test that fails with the mutant; nil if none does.
func (r *runner) kill(m *mutant) (killer *test, timeout bool, tried int) {
	for _, t := range r.tests {
		if !t.reaches[m.number] {
			continue
		}
		if tried++; tried > r.maxTests {
			break
		}
		_, err := r.run(t, 5*t.took+10*time.Second, "MUTATE_NOW="+strconv.Itoa(m.number))
		if err != nil {
			return t, errors.Is(err, context.DeadlineExceeded), tried
		}
	}
	return nil, false, tried
}

// run runs a test. In a PID namespace of its own nothing outlives it.
func (r *runner) run(t *test, limit time.Duration, env string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	args := append([]string{t.binary, "-test.run", "^" + t.name + "$", "-test.failfast", "-test.timeout", limit.String()}, t.flags...)
	if !r.open && os.Getuid() == 0 {
		// The shell is the namespace's first process, and not the test: that has no
		// default actions of signals, and inherits orphans.
		args = append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", `"$@"; exit $?`, "sh"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = t.dir
	cmd.Env = append(os.Environ(), env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), err
}
