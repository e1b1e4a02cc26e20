// Package roots keeps the root folders of other systemds than the host's: one
// Debian release each, in a cache folder.
package roots

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Command builds roots. It takes their names as arguments.
const Command = "go run github.com/holdfast-go/holdfast/units/systemdtest/mkroot"

// A Recipe says where a root comes from. Its name is the version of systemd
// that the suite had when the recipe was written; a rolling suite moves on.
type Recipe struct {
	Name, Suite string
	Packages    []string // beyond those that each root has

	// Backports are packages that are taken from the release Later, each with those
	// that it needs from there. apt wants them named: it takes nothing from a release
	// that it does not prefer.
	Later     string
	Backports map[string][]string
}

// podman makes services of quadlets from version 4.4 on, which neither bullseye nor
// bookworm has. systemd and its libraries stay the release's own.
var podman = map[string][]string{"podman": {
	"podman", "crun", "netavark",
	"libc6", "libc-bin", "base-files",
	"gpg", "libgpgme11t64", "libpam0g", "libsemanage2", "libsemanage-common", "libsqlite3-0", "libsubid5", "passwd",
}}

// Recipes are the roots there are, oldest systemd first.
var Recipes = []Recipe{
	{Name: "247", Suite: "bullseye", Later: "trixie", Backports: podman},
	{Name: "252", Suite: "bookworm", Later: "trixie", Backports: podman},
	{Name: "257", Suite: "trixie"},
	{Name: "262", Suite: "sid"},
}

// Names lists the names of Recipes.
func Names() []string {
	var names []string
	for _, r := range Recipes {
		names = append(names, r.Name)
	}
	return names
}

// Find returns the recipe of that name.
func Find(name string) (Recipe, error) {
	if i := slices.IndexFunc(Recipes, func(r Recipe) bool { return r.Name == name }); i >= 0 {
		return Recipes[i], nil
	}
	return Recipe{}, fmt.Errorf("there is no systemd %q among the roots: want %s", name, strings.Join(Names(), ", "))
}

// Folder is where roots are kept: $HOLDFAST_ROOTS, or holdfast/roots in the
// user's cache folder.
func Folder() (string, error) {
	if dir := os.Getenv("HOLDFAST_ROOTS"); dir != "" {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("HOLDFAST_ROOTS: %w", err)
		}
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for roots, set HOLDFAST_ROOTS: %w", err)
	}
	return filepath.Join(dir, "holdfast", "roots"), nil
}

// With is the recipe of a root that holds these packages, too.
func (r Recipe) With(packages []string) Recipe {
	r.Packages = append(slices.Clone(r.Packages), packages...)
	slices.Sort(r.Packages)
	r.Packages = slices.Compact(r.Packages)
	return r
}

// Path is the root folder of a recipe in folder. No package has a comma in its
// name.
func (r Recipe) Path(folder string) string {
	return filepath.Join(folder, strings.Join(append([]string{"systemd-" + r.Name}, r.Packages...), ","))
}

// Advice is the command that builds the root folder path, or "" where none does.
// folder is where roots are kept.
func Advice(folder, path string) string {
	for _, r := range Recipes {
		if r.Path(folder) == path {
			return Command + " " + r.Name
		}
		if packages, ok := strings.CutPrefix(path, r.Path(folder)+","); ok {
			return fmt.Sprintf("%s -packages %s %s", Command, packages, r.Name)
		}
	}
	return ""
}

// Lacking lists which of the packages are not installed in a root folder.
func Lacking(root string, packages []string) ([]string, error) {
	if len(packages) == 0 {
		return nil, nil
	}
	status, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, err
	}
	installed := make(map[string]bool)
	for entry := range strings.SplitSeq(string(status), "\n\n") {
		first, rest, _ := strings.Cut(entry, "\n")
		if name, ok := strings.CutPrefix(first, "Package: "); ok && strings.Contains("\n"+rest, "\nStatus: install ok installed\n") {
			installed[name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(packages), func(p string) bool { return installed[p] }), nil
}

// ParseVersion reads the version of systemd from what `systemctl --version`
// prints, such as "systemd 257 (257.9-1~deb13u1)" or "systemd 258~rc2 (...)".
func ParseVersion(out string) (int, error) {
	if rest, ok := strings.CutPrefix(out, "systemd "); ok {
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(rest)
		}
		if n, err := strconv.Atoi(rest[:end]); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no version of systemd in %.100q", out)
}
