package systemdtest_test

import "testing"

// TestExample runs the package example, which can be no test itself.
func TestExample(t *testing.T) { testHello(t) }
