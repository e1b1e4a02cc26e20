package keepalive

import (
	"testing"

	"github.com/holdfast-go/holdfast/units/helpertest"
)

// helpers are the programs that this test binary can be.
var helpers = map[string]func(args []string) error{}

func TestMain(m *testing.M) { helpertest.Main(m, helpers) }
