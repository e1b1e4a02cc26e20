package notify_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-go/holdfast/notify"
)

// helperVariable makes the test binary be a program of the tests: a service
// inside a machine, or one of its children. The arguments are the program's.
const helperVariable = "HOLDFAST_NOTIFY_HELPER"

// helpers are those programs by name. What they return is their exit.
var helpers = map[string]func(args []string) error{
	"service": serviceHelper,
	"store":   storeHelper,
	"twin":    twinHelper,
	"flash":   flashHelper,
	"parent":  parentHelper,
	"receive": receiveHelper,
	"send":    sendHelper,
}

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(helperVariable)
	if !ok {
		os.Exit(m.Run())
	}
	helper, ok := helpers[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no helper %q\n", name)
		os.Exit(2)
	}
	if err := helper(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "helper %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// managed is Open for a helper, which is of no use without a manager.
func managed() (*notify.Notifier, error) {
	n, err := notify.Open()
	if err == nil && !n.Managed() {
		err = fmt.Errorf("no manager in the environment %q", os.Environ())
	}
	return n, err
}
