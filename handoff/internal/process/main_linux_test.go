package process

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if err := ExecStep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	os.Exit(m.Run())
}
