package systemdtest

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestProgram(t *testing.T) {
	cases := []struct {
		name string
		f    func(t testing.TB)
		want string // in the error; "": none
	}{
		{"ends well", func(testing.TB) {}, ""},
		{"fatal", func(t testing.TB) { t.Fatalf("no %s", "port"); panic("Fatalf returned") }, "no port"},
		{"skip", func(t testing.TB) { t.Skip("not root"); panic("Skip returned") }, "not root"},
		{"errors", func(t testing.TB) { t.Error("first"); t.Errorf("second") }, "first\nsecond"},
		{"error in a cleanup", func(t testing.TB) { t.Cleanup(func() { t.Error("left behind") }) }, "left behind"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := Program(t.Context(), io.Discard, c.f)
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("got error %v, want %q", err, c.want)
			}
		})
	}
}

func TestProgramCleansUp(t *testing.T) {
	var order []string
	var dir string
	var out strings.Builder
	err := Program(t.Context(), &out, func(t testing.TB) {
		dir = t.TempDir()
		t.Cleanup(func() {
			order = append(order, "outer")
			t.Cleanup(func() { order = append(order, "registered by a cleanup") })
		})
		t.Cleanup(func() { order = append(order, "inner"); t.Log("bye") })
		t.Fatal("over")
	})
	if err == nil {
		t.Error("Fatal left no error")
	}
	if want := []string{"inner", "outer", "registered by a cleanup"}; !slices.Equal(order, want) {
		t.Errorf("cleanups ran as %q, want %q", order, want)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
	if out.String() != "bye\n" {
		t.Errorf("logged %q", out.String())
	}
}
