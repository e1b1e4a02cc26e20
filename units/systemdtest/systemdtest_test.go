package systemdtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/units/systemdtest/internal/roots"
)

func TestChoose(t *testing.T) {
	all := []string{"247", "252", "257", "262"}
	for _, c := range []struct {
		value string
		want  []string
		err   string
	}{
		{"", []string{"host"}, ""},
		{"host", []string{"host"}, ""},
		{"all", all, ""},
		{"257", []string{"257"}, ""},
		{"262,247", []string{"262", "247"}, ""},
		{" 252 , 262 ", []string{"252", "262"}, ""},
		{"257,257,all", []string{"257", "247", "252", "262"}, ""},
		{"host,all", append([]string{"host"}, all...), ""},
		{"25", nil, `HOLDFAST_SYSTEMD="25": the word "25" is none of host, all, 247, 252, 257, 262`},
		{"257,", nil, `HOLDFAST_SYSTEMD="257,": the word "" is none of`},
		{"247;252", nil, `the word "247;252" is none of`},
		{"ALL", nil, `the word "ALL" is none of`},
	} {
		got, err := choose(c.value, nil)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("choose(%q): error %v, want %q in it", c.value, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("choose(%q) = %q, %v, want %q", c.value, got, err, c.want)
		}
	}
}

func TestAllIsWhatATestSays(t *testing.T) {
	got, err := choose("257,all", []string{"252", "262"})
	if want := []string{"257", "252", "262"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestNamedRootIsInTheFolderOfRoots(t *testing.T) {
	t.Setenv("HOLDFAST_ROOTS", "/somewhere")
	for _, name := range roots.Names() {
		if got, err := namedRoot(name, nil); err != nil || got != "/somewhere/systemd-"+name {
			t.Errorf("namedRoot(%q) = %q, %v", name, got, err)
		}
		if got, err := namedRoot(name, []string{"g++", "apt", "g++"}); err != nil || got != "/somewhere/systemd-"+name+",apt,g++" {
			t.Errorf("namedRoot(%q) with packages = %q, %v", name, got, err)
		}
	}
}

func TestResolveFollowsLinksInsideTheRoot(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"run/app", "var/lib/private/app", "usr/lib"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{
		"var/run":     "/run",
		"var/lib/app": "private/app",
		"lib":         "usr/lib",
		"up":          "../../../../run",
		"chain":       "/up/app",
		"loop":        "loop",
		"dangling":    "/not/there",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	for p, want := range map[string]string{
		"/":                 "/",
		"":                  "/",
		"/run/app":          "/run/app",
		"run/app":           "/run/app",
		"/run//./app/":      "/run/app",
		"/var/run/app":      "/run/app",
		"/var/run/../x":     "/x",
		"/var/lib/app/s":    "/var/lib/private/app/s",
		"/lib/libc":         "/usr/lib/libc",
		"/up/app":           "/run/app",
		"/chain/sock":       "/run/app/sock",
		"/dangling/x":       "/not/there/x",
		"/no/such/../thing": "/no/thing",
		"/../../etc":        "/etc",
	} {
		if got, err := resolve(root, p); err != nil || got != root+want {
			t.Errorf("resolve(%q) = %q, %v, want %q", p, strings.TrimPrefix(got, root), err, want)
		}
	}
	if _, err := resolve(root, "/loop/x"); err == nil || !strings.Contains(err.Error(), "too many symbolic links") {
		t.Errorf("resolve of a loop: %v", err)
	}
}

func FuzzResolveStaysInTheRoot(f *testing.F) {
	root := f.TempDir()
	if err := os.Symlink("../../..", filepath.Join(root, "up")); err != nil {
		f.Skipf("no symbolic links here: %v", err)
	}
	for _, p := range []string{"/", "", "..", "/up/../up", "up/up/etc/../..", "//a//", "a/../../..", "\x00"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		got, err := resolve(root, p)
		if err != nil {
			return
		}
		rest, ok := strings.CutPrefix(got, root)
		if !ok || filepath.Clean(rest) != rest || !strings.HasPrefix(rest, "/") {
			t.Errorf("resolve(%q) = %q, which is not a clean path below %q", p, got, root)
		}
	})
}
