package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/exampletest"
)

// eachWay runs f for both ways that the program has.
func eachWay(t *testing.T, workers int, f func(t *testing.T, ctx context.Context, s *server)) {
	for _, mode := range []string{dispatch, share} {
		t.Run(mode, func(t *testing.T) {
			f(t, exampletest.Deadline(t), startServer(t, mode, workers))
		})
	}
}

// clients has n clients ask for path, over and over, until stop is called, which
// returns the PIDs that have answered, and the errors.
func clients(ctx context.Context, s *server, n int, path string, answered *atomic.Int64) (stop func() (map[int]int, []error)) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	var mu sync.Mutex
	pids, errs := map[int]int{}, []error(nil)
	for range n {
		all.Go(func() {
			for ctx.Err() == nil {
				pid, err := s.get(context.WithoutCancel(ctx), path)
				mu.Lock()
				if pids[pid]++; err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
				answered.Add(1)
			}
		})
	}
	return func() (map[int]int, []error) {
		cancel()
		all.Wait()
		return pids, errs
	}
}

// awaitMore waits for n more answers.
func awaitMore(t *testing.T, ctx context.Context, answered *atomic.Int64, n int64) {
	t.Helper()
	want := answered.Load() + n
	exampletest.WaitFor(t, ctx, "more answers", func() bool { return answered.Load() >= want })
}

func TestTheSameWorkerIsPreferred(t *testing.T) {
	const requests = 100
	ctx := exampletest.Deadline(t)
	s := startServer(t, dispatch, 4)
	last, changes := 0, 0
	for range requests {
		pid, err := s.get(ctx, "/")
		if err != nil {
			t.Fatal(err)
		}
		if pid != last {
			changes++ // the dispatcher was asked before it had read that the last one was idle
		}
		last = pid
	}
	if changes > requests/2 {
		t.Errorf("of %d requests, one after the other, %d were for another worker than the one before", requests, changes)
	}
}

func TestReplaceUnderLoad(t *testing.T) {
	const workers, replacements = 3, 4
	eachWay(t, workers, func(t *testing.T, ctx context.Context, s *server) {
		var answered atomic.Int64
		stop := clients(ctx, s, 2*workers, "/sleep/5ms", &answered)
		for range replacements {
			awaitMore(t, ctx, &answered, 20)
			s.replace()
		}
		awaitMore(t, ctx, &answered, 20)
		pids, errs := stop()
		for _, err := range errs {
			t.Error(err)
		}
		if len(pids) <= replacements {
			t.Errorf("%d workers have answered, want more than %d", len(pids), replacements)
		}
		s.stop()
		for pid := range pids {
			if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
				t.Errorf("worker %d is left", pid)
			}
		}
	})
}

// However often its workers are replaced, or die, the dispatcher has as many
// descriptors as before.
func TestNoDescriptorIsLeft(t *testing.T) {
	const workers, rounds = 2, 5
	eachWay(t, workers, func(t *testing.T, ctx context.Context, s *server) {
		descriptors := func() int {
			t.Helper()
			list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
		s.replace()
		before := descriptors()
		for range rounds {
			if _, err := s.get(ctx, "/"); err != nil {
				t.Fatal(err)
			}
			s.replace()
		}
		if _, err := s.get(ctx, "/crash"); err == nil {
			t.Error("there is an answer to the request that ends the worker")
		}
		// A socket and a pidfd for each worker of which there were fewer before.
		exampletest.WaitFor(t, ctx, "the end of old workers", func() bool { return descriptors() <= before+2*(workers-1) })
	})
}

// The worker that dies takes the request along that it was answering, and nothing
// else, and there is soon another in its place.
func TestCrashLosesOneRequest(t *testing.T) {
	const workers, crashes = 3, 3
	eachWay(t, workers, func(t *testing.T, ctx context.Context, s *server) {
		var answered atomic.Int64
		stop := clients(ctx, s, 2*workers, "/sleep/2ms", &answered)
		for range crashes {
			awaitMore(t, ctx, &answered, 20)
			if _, err := s.get(ctx, "/crash"); err == nil {
				t.Error("there is an answer to the request that ends the worker")
			}
		}
		awaitMore(t, ctx, &answered, 200)
		pids, errs := stop()
		for _, err := range errs {
			t.Error(err)
		}
		if len(pids) < workers {
			t.Errorf("%d workers have answered, want at least %d", len(pids), workers)
		}
	})
}

// A worker that dies with a connection on its way to it, which it has not taken, takes
// nothing along: the next one gets it.
func TestKilledBeforeItTook(t *testing.T) {
	const workers, kills = 1, 3
	ctx := exampletest.Deadline(t)
	s := startServer(t, dispatch, workers)
	for range kills {
		last, err := s.get(ctx, "/")
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(last, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		exampletest.WaitFor(t, ctx, "the worker to stop", func() bool { return stopped(t, last) })
		conn, err := s.ask(ctx, "/", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		exampletest.WaitFor(t, ctx, "the connection to be accepted", func() bool { return accepted(t, conn) })
		if err := syscall.Kill(last, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if pid, err := readAnswer(bufio.NewReader(conn)); err != nil || pid == last {
			t.Errorf("%d was killed, and the answer is of %d, %v", last, pid, err)
		}
	}
}

// stopped reports whether all threads of a process have.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, path := range tasks {
		if stat, err := os.ReadFile(path); err == nil && !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return true
}

// accepted reports whether a server has accepted a client's connection: one that is
// still in the queue has no inode in the kernel's table (proc(5)).
func accepted(t *testing.T, c net.Conn) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	remote := fmt.Sprintf(":%04X", c.LocalAddr().(*net.TCPAddr).Port)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 9 && strings.HasSuffix(fields[2], remote) {
			return fields[9] != "0"
		}
	}
	return false
}

// What has been accepted is answered before the dispatcher ends.
func TestStopAnswersWhatWasAccepted(t *testing.T) {
	const workers = 2
	eachWay(t, workers, func(t *testing.T, ctx context.Context, s *server) {
		var held []func() error
		for range workers {
			finish, err := s.hold(ctx)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, finish)
		}
		s.in.Close()
		exampletest.WaitFor(t, ctx, "the end of the listener", func() bool {
			conn, err := s.ask(ctx, "/", 0)
			if err == nil {
				conn.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		})
		for _, finish := range held {
			if err := finish(); err != nil {
				t.Error(err)
			}
		}
	})
}

// Workers end with their dispatcher, whatever ends it.
func TestWorkersEndWithTheirDispatcher(t *testing.T) {
	eachWay(t, 2, func(t *testing.T, ctx context.Context, s *server) {
		if _, err := s.get(ctx, "/"); err != nil {
			t.Fatal(err)
		}
		s.stopped = true
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		// They have its standard output, too: it ends with the last of them.
		if _, err := io.Copy(io.Discard, s.out); err != nil {
			t.Fatal(err)
		}
		s.cmd.Wait() // killed
	})
}
