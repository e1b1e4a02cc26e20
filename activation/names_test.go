package activation_test

import (
	"testing"

	"github.com/holdfast-go/holdfast/activation"
	"github.com/holdfast-go/holdfast/notify"
)

// FuzzNamesAgree: what the manager takes as a name for its store it can pass on as one
// in LISTEN_FDNAMES, and the other way round. The packages do not import each other.
func FuzzNamesAgree(f *testing.F) {
	for _, name := range []string{"", "http", "a:b", "tab\t", "nul\x00", " ", "~", "\x7f", "\x1f", "\xff", "\u00fc", "\u2028"} {
		f.Add(name, uint16(0))
		f.Add(name, uint16(notify.MaxName-len(name)))
		f.Add(name, uint16(notify.MaxName-len(name)+1))
	}
	f.Fuzz(func(t *testing.T, name string, more uint16) {
		for range more % 300 {
			name += "x"
		}
		if a, n := activation.CheckName(name), notify.CheckName(name); (a == nil) != (n == nil) {
			t.Errorf("of %q activation says %v, and notify %v", name, a, n)
		}
	})
}
