package tools

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/holdfast-go/holdfast/units"
	"github.com/holdfast-go/holdfast/units/check"
)

// Around returns what a service says, its drop-ins merged into it, but for the one
// that `handoffd unit` writes. name is without ".service". nil is for a service that
// isn't there: where a drop-in is written need not be where it will be used. Of a unit
// that cannot be read as a whole, what can be read counts, as for systemd.
func Around(name string, user bool) ([]units.Option, error) {
	folders := check.Folders{Dirs: check.SystemDirs}
	if user {
		folders = check.Folders{Dirs: check.UserDirs, User: true}
	}
	return around(folders, name)
}

func around(folders check.Folders, name string) ([]units.Option, error) {
	files, err := folders.Find(name + ".service")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var options []units.Option
	for i, path := range append([]string{files.Fragment}, files.DropIns...) {
		if path == "" || i > 0 && filepath.Base(path) == units.DropInFile {
			continue
		}
		text, err := folders.Read(path)
		if err != nil {
			return nil, err
		}
		u, _ := units.Parse(path, text) // never nil
		options = append(options, u.Options...)
	}
	if options == nil && files.Fragment != "" {
		options = []units.Option{} // it is there, and says nothing
	}
	return options, nil
}
