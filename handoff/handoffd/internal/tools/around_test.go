package tools

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-go/holdfast/units/check"
)

// TestAround: a drop-in that is written anew is written for the unit without it.
func TestAround(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"app.service":                  "[Service]\nPIDFile=/run/a\n",
		"app.service.d/more.conf":      "[Service]\nRestart=always\n",
		"app.service.d/handoffd.conf":  "[Service]\nPIDFile=\n",
		"app@.service":                 "[Service]\nPIDFile=/run/%i\n",
		"app@1.service.d/limits.conf":  "[Service]\nLimitNOFILE=9\n",
		"empty.service":                "# nothing\n",
		"only.service.d/handoffd.conf": "[Service]\nPIDFile=\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]string{
		"app":    {"PIDFile=/run/a", "Restart=always"},
		"app@1":  {"PIDFile=/run/%i", "LimitNOFILE=9"},
		"app@":   {"PIDFile=/run/%i"},
		"empty":  {},
		"absent": nil,
		"only":   nil,
	} {
		options, err := around(check.Folders{Dirs: []string{dir}}, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, o := range options {
			got = append(got, o.Name+"="+o.Value)
		}
		if !slices.Equal(got, want) || (options == nil) != (want == nil) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
