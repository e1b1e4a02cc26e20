package systemdtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// helpers are what this test binary does instead of testing when helperVariable
// names one. Their arguments follow the program's name.
var helpers = map[string]func(args []string) error{
	"greet": func(args []string) error {
		_, err := fmt.Println("hello", strings.Join(args, " "))
		return err
	},
}

const helperVariable = "SYSTEMDTEST_HELPER"

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(helperVariable)
	if !ok {
		os.Exit(m.Run())
	}
	helper, ok := helpers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no helper %q\n", name)
		os.Exit(2)
	}
	if err := helper(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		os.Exit(1)
	}
}

// verdict is what became of a test that ran under judge.
type verdict struct {
	skipped bool
	said    string // all that was logged, and why it failed or was skipped
	failed  bool
}

// judge runs f as a test of its own, cleanups included.
func judge(t *testing.T, f func(t testing.TB)) verdict {
	t.Helper()
	var inner testing.TB
	var log strings.Builder
	err := Program(t.Context(), &log, func(tb testing.TB) {
		inner = tb
		f(tb)
	})
	v := verdict{skipped: inner.Skipped(), said: log.String()}
	v.failed = err != nil && !v.skipped
	if err != nil {
		v.said += err.Error()
	}
	return v
}
