package activation

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// EnvHelper names the helper that a process of the test binary runs instead of
// the tests.
const EnvHelper = "ACTIVATION_TEST_HELPER"

// helpers are the programs that tests start. What one returns goes to standard
// error, and the exit status is 1.
var helpers = map[string]func() error{}

// Helper registers a helper and returns its name; call it from a variable
// declaration, beside the test.
func Helper(name string, f func() error) string {
	if _, ok := helpers[name]; ok {
		panic("two helpers are called " + name)
	}
	helpers[name] = f
	return name
}

// environ is the environment in which the test binary runs a helper.
func environ(name string, more ...string) []string {
	return append(append(os.Environ(), EnvHelper+"="+name), more...)
}

// helperCommand prepares the test binary to run a helper.
func helperCommand(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	if _, ok := helpers[name]; !ok {
		t.Fatalf("no helper %q", name)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = environ(name)
	cmd.Stderr = os.Stderr
	return cmd
}

// prepare are the steps that TestMain gives ExecStep. A test that needs one adds
// it here, and turns it on by a variable of its own.
var prepare []func() error

func TestMain(m *testing.M) {
	if err := ExecStep(prepare...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	name, ok := os.LookupEnv(EnvHelper)
	if !ok {
		os.Exit(m.Run())
	}
	run, ok := helpers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no helper %q, there are %q\n", name, slices.Sorted(maps.Keys(helpers)))
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		os.Exit(1)
	}
}
