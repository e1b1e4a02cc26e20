package roots

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for out, want := range map[string]int{
		"systemd 257 (257.9-1~deb13u1)\n+PAM": 257,
		"systemd 247 (247.3-7+deb11u5)":       247,
		"systemd 258~rc2 (258~rc2-1)":         258,
		"systemd 262\n":                       262,
		"":                                    0,
		"systemd ":                            0,
		"systemd v257":                        0,
		"System has not been booted":          0,
		"systemd 99999999999999999999":        0,
	} {
		got, err := ParseVersion(out)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("ParseVersion(%q) = %d, %v, want %d", out, got, err, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("systemd 257 (257.9-1~deb13u1)\n+PAM")
	f.Add("systemd 0")
	f.Fuzz(func(t *testing.T, out string) {
		if n, err := ParseVersion(out); n < 0 || err != nil && n != 0 {
			t.Errorf("ParseVersion(%q) = %d, %v", out, n, err)
		}
	})
}

func TestFind(t *testing.T) {
	for _, name := range Names() {
		if r, err := Find(name); err != nil || r.Name != name || r.Suite == "" {
			t.Errorf("Find(%q) = %+v, %v", name, r, err)
		}
	}
	if _, err := Find("256"); err == nil || !strings.Contains(err.Error(), `"256" among the roots: want 247, 252, 257, 262`) {
		t.Errorf("Find of what there is not: %v", err)
	}
}

func TestLacking(t *testing.T) {
	root := t.TempDir()
	if _, err := Lacking(root, []string{"apt"}); err == nil {
		t.Error("the packages of a root without dpkg are told")
	}
	if missing, err := Lacking(root, nil); err != nil || len(missing) > 0 {
		t.Errorf("of no packages %q are missing, %v", missing, err)
	}
	status := filepath.Join(root, "var/lib/dpkg/status")
	if err := os.MkdirAll(filepath.Dir(status), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "Package: apt\nStatus: install ok installed\nVersion: 1\n\nPackage: bash\nEssential: yes\nStatus: install ok installed\nVersion: 2\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 3\n"
	if err := os.WriteFile(status, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	missing, err := Lacking(root, []string{"gone", "apt", "bas", "bash"})
	if err != nil || !slices.Equal(missing, []string{"gone", "bas"}) {
		t.Errorf("got %q, %v, want gone and bas", missing, err)
	}
}

func TestWithPackages(t *testing.T) {
	r := Recipes[0].With([]string{"b"}).With([]string{"g++", "a", "b"})
	const path = "/roots/systemd-247,a,b,g++"
	if got := r.Path("/roots"); got != path {
		t.Errorf("the root is %q, want %q", got, path)
	}
	if got, want := Advice("/roots", path), Command+" -packages a,b,g++ 247"; got != want {
		t.Errorf("the advice is %q, want %q", got, want)
	}
	if got := Advice("/roots", "/roots/systemd-2470"); got != "" {
		t.Errorf("there is advice for what nobody builds: %q", got)
	}
	if len(Recipes[0].Packages) > 0 {
		t.Errorf("the recipe itself has %q", Recipes[0].Packages)
	}
}

func TestFolder(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOLDFAST_ROOTS", "")
	if got, err := Folder(); err != nil || filepath.Base(got) != "roots" {
		t.Errorf("Folder() = %q, %v", got, err)
	}
	t.Setenv("HOLDFAST_ROOTS", cache)
	if got, err := Folder(); err != nil || got != cache {
		t.Errorf("Folder() = %q, %v, want %q", got, err, cache)
	}
	t.Setenv("HOLDFAST_ROOTS", "relative")
	if got, err := Folder(); err != nil || !filepath.IsAbs(got) {
		t.Errorf("Folder() = %q, %v, want an absolute path", got, err)
	}
}
