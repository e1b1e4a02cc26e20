package check

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestReadme: the README says how many rules there are.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("all %d rules", len(Rules())); !strings.Contains(string(readme), want) {
		t.Errorf("README.md does not say %q", want)
	}
}
