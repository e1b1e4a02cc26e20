// Package leaktest fails a test that leaves descriptors or goroutines behind.
//
// A program that hands descriptors on from one generation to the next cannot
// afford to lose one: a leaked listener keeps a port open that nobody accepts
// on, and a leaked connection keeps a peer waiting. Call Check first in a test:
//
//	func TestHandOver(t *testing.T) {
//		leaktest.Check(t)
//		...
//	}
//
// Tests that run in parallel share one descriptor table, so a test that uses
// Check must not call t.Parallel.
package leaktest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// settle bounds how long what the test has let go of may take to be gone:
// goroutines end and the kernel's deferred closes run a little after the test.
var settle = 10 * time.Second

// Check records the descriptors and goroutines there are, and fails t at its
// end if there are others by then. It runs after every cleanup that t registers
// later. Descriptors are compared on Linux only, goroutines everywhere.
func Check(t testing.TB) {
	t.Helper()
	goroutines := goleak.IgnoreCurrent()
	before, err := Descriptors()
	if err != nil {
		t.Fatalf("leaktest: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			return // what a failed test leaves is not the news
		}
		if err := goleak.Find(goroutines); err != nil {
			t.Errorf("leaktest: %v", err)
		}
		var left []string
		for deadline := time.Now().Add(settle); ; {
			after, err := Descriptors()
			if err != nil {
				t.Errorf("leaktest: %v", err)
				return
			}
			left = beyond(after, before)
			if len(left) == 0 || time.Now().After(deadline) {
				break
			}
			runtime.Gosched()
			time.Sleep(time.Millisecond)
		}
		if len(left) > 0 {
			t.Errorf("leaktest: %d descriptors left open:\n\t%s", len(left), strings.Join(left, "\n\t"))
		}
	})
}

// Descriptors lists the open descriptors of this process, each as its number
// and what it refers to, such as "7 socket:[4711]". Elsewhere than on Linux the
// list is empty. What the Go runtime keeps for itself (epoll, eventfd) is left
// out, since it comes and goes with the first use of a poller.
func Descriptors() ([]string, error) {
	if runtime.GOOS != "linux" {
		return nil, nil
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, fmt.Errorf("list open descriptors: %w", err)
	}
	var list []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil {
			continue // the descriptor that read the folder, closed by now
		}
		switch target {
		case "anon_inode:[eventpoll]", "anon_inode:[eventfd]":
			continue
		}
		list = append(list, e.Name()+" "+target)
	}
	return list, nil
}

// beyond returns what is in list and not in base.
func beyond(list, base []string) []string {
	var more []string
	for _, d := range list {
		if !slices.Contains(base, d) {
			more = append(more, d)
		}
	}
	return more
}
