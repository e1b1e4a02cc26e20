package check

import (
	"errors"
	"os"
	"path/filepath"
)

// SystemDirs are the folders in which the system's manager looks for units, the
// strongest first (systemd.unit(5)).
var SystemDirs = []string{
	"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early",
	"/etc/systemd/system", "/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached",
	"/run/systemd/generator", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
	"/run/systemd/generator.late",
}

// UserDirs are the folders that all users' managers share. Those in the user's own
// home come before them.
var UserDirs = []string{
	"/etc/systemd/user", "/run/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user", "/lib/systemd/user",
}

// Folders is a [Source] that looks for units in folders, as a manager does that
// would start now. Each method reads the folders anew: see [Folders.Index].
type Folders struct {
	Dirs []string // the strongest first
	Root string   // put before each of Dirs, and before what a link names; may be empty
	User bool     // they are those of a user's manager

	// Complete says that they are all folders of a manager: a unit that is in none of
	// them there is not.
	Complete bool
}

var _ Source = Folders{}

// Index reads the folders once, for many units.
func (f Folders) Index() *Index {
	ix := &Index{Folders: f}
	ix.loader = &loader{source: ix, loaded: make(map[string]loaded)}
	return ix
}

// Find implements [Source].
func (f Folders) Find(name string) (Files, error) { return f.Index().Find(name) }

// Sockets implements [Source].
func (f Folders) Sockets(service string) ([]string, error) { return f.Index().Sockets(service) }

// Services implements [Source].
func (f Folders) Services(socket string) ([]string, error) { return f.Index().Services(socket) }

// masked reports whether a file stands for nothing.
func (f Folders) masked(path string) bool {
	path = f.resolve(path)
	info, err := os.Stat(path)
	return path == f.null() || err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// Read implements [Source].
func (f Folders) Read(path string) (string, error) {
	if path = f.resolve(path); path == f.null() {
		return "", nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// null is the file of nothing, to which links mask units and drop-ins.
func (f Folders) null() string { return filepath.Join(f.Root, os.DevNull) }

// resolve follows links as they are meant below Root.
func (f Folders) resolve(path string) string {
	for range 16 {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if filepath.IsAbs(target) {
			path = filepath.Join(f.Root, target)
		} else {
			path = filepath.Join(filepath.Dir(path), target)
		}
	}
	return path
}
