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
