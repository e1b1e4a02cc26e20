// Package poll waits in tests for what happens in another goroutine, in another
// process, or on another machine, and says of what it waited in vain.
//
//	poll.Until(t, "the service is ready", svc.Ready)
//
// A test that can be told waits on a channel instead, for no longer than Patience.
package poll

import (
	"reflect"
	"testing"
	"time"
)

// Patience is how long a test waits for what a good machine does at once. It is for a
// busy one, which may take a hundred times as long; no test asserts that something
// is fast.
const Patience = 2 * time.Minute

// Between two looks Until pauses for so long: at first, and at most.
const (
	firstPause = time.Millisecond
	mostPause  = 20 * time.Millisecond
)

// Until calls ok over and over, until it returns true. If that takes longer than
// Patience, t fails, and ends: what is what it waited for, as in "the service is
// ready". Call it from the test's own goroutine.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !within(Patience, ok) {
		t.Fatalf("waited %v in vain: %s", Patience, what)
	}
}

// UntilEqual calls get over and over, until it returns want. If that takes longer than
// Patience, t fails with what it returned last, and ends.
func UntilEqual[T any](t testing.TB, what string, want T, get func() T) {
	t.Helper()
	var got T
	if !within(Patience, func() bool { got = get(); return reflect.DeepEqual(got, want) }) {
		t.Fatalf("waited %v in vain: %s is not %#v but %#v", Patience, what, want, got)
	}
}

// within reports whether ok returns true before so much time has passed. It looks
// once more after that: the machine may have slept.
func within(d time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(d)
	for pause := firstPause; !ok(); pause = min(2*pause, mostPause) {
		if time.Now().After(deadline) {
			return ok()
		}
		time.Sleep(pause)
	}
	return true
}
