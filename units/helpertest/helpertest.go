// Package helpertest lets a test binary be the programs that its own tests need:
// a process that is told by its environment to be a helper runs that instead of
// the tests, as os/exec's own tests do.
//
//	func TestMain(m *testing.M) {
//		helpertest.Main(m, map[string]func(args []string) error{"echo": echo})
//	}
//
//	func TestChild(t *testing.T) {
//		cmd := helpertest.Command(t, "echo", "hello")
//		...
//	}
//
// A unit file runs one by Environment=HOLDFAST_TEST_HELPER=echo, with the binary
// that systemdtest.BuildTest makes.
package helpertest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// Variable names the helper that a process is to be.
const Variable = "HOLDFAST_TEST_HELPER"

// Main runs the tests of m, or the helper that Variable names, and exits. What a
// helper returns goes to standard error, with status 1. Its arguments are those
// of the process, without the program's name.
func Main(m *testing.M, helpers map[string]func(args []string) error) {
	name, ok := os.LookupEnv(Variable)
	if !ok {
		os.Exit(m.Run())
	}
	helper, ok := helpers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no helper %q among %q\n", name, slices.Sorted(maps.Keys(helpers)))
		os.Exit(2)
	}
	if err := helper(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Command prepares this test binary to be the helper called name. It is killed
// when t ends, writes its errors to those of the test, and has t's environment.
func Command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = Environ(name)
	cmd.Stderr = os.Stderr
	return cmd
}

// Environ returns the environment of this process with Variable set to name, and
// more behind it.
func Environ(name string, more ...string) []string {
	return append(append(os.Environ(), Variable+"="+name), more...)
}
