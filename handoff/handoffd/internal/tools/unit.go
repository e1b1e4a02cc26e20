package tools

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/holdfast-go/holdfast/units"
)

// PrintUnits prints the pair of units that d describes, each under the path where
// the file belongs. errors.Is finds ErrUsage where d describes no sound pair.
func PrintUnits(w io.Writer, d units.Description) error {
	files, err := render(d)
	if err != nil {
		return err
	}
	for i, f := range files {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "# %s\n%s", filepath.Join(unitFolder(f.name, d.User), f.name), f.text)
	}
	return nil
}

// WriteUnits writes the pair of units into the folder dir, and prints the paths to w.
// Unless force is true it replaces no file: where one is there already, it writes
// none. errors.Is finds ErrUsage as from PrintUnits, and where dir is no folder.
func WriteUnits(w io.Writer, dir string, d units.Description, force bool) error {
	files, err := render(d)
	if err != nil {
		return err
	}
	return writeUnits(w, dir, files, force)
}

func render(d units.Description) ([]unitFile, error) {
	rendered, err := units.Render(d)
	if err != nil {
		return nil, &usageError{err}
	}
	var files []unitFile
	for _, u := range rendered {
		text, err := u.MarshalText()
		if err != nil {
			return nil, &usageError{err}
		}
		files = append(files, unitFile{u.File, text})
	}
	return files, nil
}

// A unitFile is one to print or to write.
type unitFile struct {
	name string // in its folder; a drop-in's has a folder of its own before it
	text []byte
}

// unitFolder is where the file belongs.
func unitFolder(name string, user bool) string {
	container := filepath.Ext(name) == ".container"
	switch {
	case container && user:
		return "~/.config/containers/systemd"
	case container:
		return "/etc/containers/systemd"
	case user:
		return "~/.config/systemd/user"
	}
	return "/etc/systemd/system"
}

// writeUnits writes all of the files or, where one is there and must stay, none.
func writeUnits(w io.Writer, dir string, files []unitFile, force bool) (err error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usagef("unit: --write %s: want a folder that is there", dir)
	}
	var written []string
	defer func() {
		if err != nil && !force {
			for _, path := range written {
				os.Remove(path)
			}
		}
	}()
	for _, f := range files {
		path := filepath.Join(dir, f.name)
		if err := writeUnit(path, f.text, force); err != nil {
			if errors.Is(err, os.ErrExist) {
				return fmt.Errorf("unit: %s is there already; --force replaces it", path)
			}
			return fmt.Errorf("unit: %w", err)
		}
		written = append(written, path)
	}
	for _, path := range written {
		fmt.Fprintln(w, path)
	}
	return nil
}

// writeUnit writes a file as a whole or not at all.
func writeUnit(path string, text []byte, force bool) error {
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".handoffd-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if force {
		return os.Rename(f.Name(), path)
	}
	return os.Link(f.Name(), path) // which replaces nothing
}
