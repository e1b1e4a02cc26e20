package activation

import (
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-go/holdfast/units/helpertest"
)

// helpers are the programs that tests start, each registered beside its test.
var helpers = map[string]func(args []string) error{}

// Helper registers a helper and returns its name; call it from a variable
// declaration, beside the test.
func Helper(name string, f func() error) string {
	if _, ok := helpers[name]; ok {
		panic("two helpers are called " + name)
	}
	helpers[name] = func([]string) error { return f() }
	return name
}

// prepare are the steps that TestMain gives ExecStep. A test that needs one adds
// it here, and turns it on by a variable of its own.
var prepare []func() error

func TestMain(m *testing.M) {
	if err := ExecStep(prepare...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	helpertest.Main(m, helpers)
}
