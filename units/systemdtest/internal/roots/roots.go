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
type Recipe struct{ Name, Suite string }

// Recipes are the roots there are, oldest systemd first.
var Recipes = []Recipe{
	{"247", "bullseye"},
	{"252", "bookworm"},
	{"257", "trixie"},
	{"262", "sid"},
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

// Path is the root folder of a recipe in folder.
func (r Recipe) Path(folder string) string { return filepath.Join(folder, "systemd-"+r.Name) }

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
