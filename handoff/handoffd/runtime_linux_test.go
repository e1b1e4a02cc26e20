package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-go/holdfast/units/poll"
)

// TestRuntimeDirVanishes: where the folder for the sockets of generations is gone, or
// takes none any more, the generations that follow have theirs all the same.
func TestRuntimeDirVanishes(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"gone":     func(string) error { return nil },
		"unusable": func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			d := standalone(t)
			dir := filepath.Join(filepath.Dir(d.control), "generations")
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			pid := d.status().Generations[0].PID
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			poll.Until(t, "another generation", func() bool {
				s := d.status()
				return s.Situation == "serving" && len(s.Generations) == 1 && s.Generations[0].PID != pid
			})
			if got := d.get(); !strings.HasPrefix(got, "generation 2,") {
				t.Errorf("got %q", got)
			}
		})
	}
}
