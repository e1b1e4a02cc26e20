package parcel

import (
	"testing"

	"github.com/holdfast-go/holdfast/units/helpertest"
)

// helpers are the programs of the tests, each registered beside its test. What a
// test passes to one is in its environment and its ExtraFiles.
var helpers = map[string]func(args []string) error{}

func TestMain(m *testing.M) { helpertest.Main(m, helpers) }
