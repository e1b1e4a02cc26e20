package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRuntimeDirVanishes: a folder that somebody removes is made anew, with the
// sockets of the generations that follow.
func TestRuntimeDirVanishes(t *testing.T) {
	d := standalone(t)
	dir := filepath.Join(filepath.Dir(d.control), "generations")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	pid := d.status().Generations[0].PID
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "another generation", func() bool {
		s := d.status()
		return s.Situation == "serving" && len(s.Generations) == 1 && s.Generations[0].PID != pid
	})
	if got := d.get(); !strings.HasPrefix(got, "generation 2,") {
		t.Errorf("got %q", got)
	}
}
