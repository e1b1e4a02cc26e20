package handoff

import (
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/units/helpertest"
)

// helpers are the programs that this test binary can be.
var helpers = map[string]func(args []string) error{}

func TestMain(m *testing.M) {
	// The manager of these tests starts generations by this.
	if err := activation.ExecStep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	helpertest.Main(m, helpers)
}

// Skip skips t, which cannot run here, or fails it if HOLDFAST_E2E is "require".
func Skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOLDFAST_E2E") == "require" {
		t.Fatal(why)
	}
	t.Skip(why)
}
