package systemdtest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/helpertest"
)

// helpers are the programs of the tests.
var helpers = map[string]func(args []string) error{
	"greet": func(args []string) error {
		_, err := fmt.Println("hello", strings.Join(args, " "))
		return err
	},
}

func TestMain(m *testing.M) { helpertest.Main(m, helpers) }

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
