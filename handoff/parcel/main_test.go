package parcel

import (
	"fmt"
	"os"
	"testing"
)

// helperEnv names the helper that a re-executed test binary is to be.
const helperEnv = "PARCEL_TEST_HELPER"

// helpers are what the test binary does instead of tests, by name. What a test
// passes to one is in its environment and its ExtraFiles.
var helpers = map[string]func() error{}

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(helperEnv)
	if !ok {
		os.Exit(m.Run())
	}
	helper, ok := helpers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no helper %q\n", name)
		os.Exit(2)
	}
	if err := helper(); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}
