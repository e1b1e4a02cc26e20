package handoff

import (
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-go/holdfast/activation"
)

// helpers are what this test binary does instead of testing when helperVariable
// names one.
var helpers = map[string]func() error{}

const helperVariable = "HANDOFF_TEST_HELPER"

func TestMain(m *testing.M) {
	// The fake manager starts generations by this.
	if err := activation.ExecStep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	name, ok := os.LookupEnv(helperVariable)
	if !ok {
		os.Exit(m.Run())
	}
	helper, ok := helpers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no helper %q\n", name)
		os.Exit(2)
	}
	if err := helper(); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		os.Exit(1)
	}
}
