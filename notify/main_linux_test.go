package notify_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-go/holdfast/notify"
	"github.com/holdfast-go/holdfast/units/helpertest"
)

// helpers are the programs of the tests: a service inside a machine, or one of
// its children.
var helpers = map[string]func(args []string) error{
	"service": serviceHelper,
	"store":   storeHelper,
	"keeps":   keepsHelper,
	"twin":    twinHelper,
	"flash":   flashHelper,
	"parent":  parentHelper,
	"receive": receiveHelper,
	"send":    sendHelper,
}

func TestMain(m *testing.M) { helpertest.Main(m, helpers) }

// managed is Open for a helper, which is of no use without a manager.
func managed() (*notify.Notifier, error) {
	n, err := notify.Open()
	if err == nil && !n.Managed() {
		err = fmt.Errorf("no manager in the environment %q", os.Environ())
	}
	return n, err
}
