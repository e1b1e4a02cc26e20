package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
// would start now.
type Folders struct {
	Dirs []string // the strongest first
	Root string   // put before each of Dirs, and before what a link names; may be empty
	User bool     // they are those of a user's manager
}

var _ Source = Folders{}

// Find implements [Source].
func (f Folders) Find(name string) (Files, error) {
	if !validName(name) {
		return Files{}, fmt.Errorf("unit %q: it is not a name that a unit may have", name)
	}
	names := []string{name}
	files := Files{Name: name, User: f.User}
	for range 16 { // links to links
		path, target, err := f.fragment(names[len(names)-1])
		if err != nil {
			return Files{}, fmt.Errorf("unit %s: %w", name, err)
		}
		if target != "" && !slices.Contains(names, target) {
			names = append(names, target)
			continue
		}
		files.Fragment = path
		break
	}
	if files.Fragment == "" && kind(name) == "service" {
		path, _, err := f.fragment(sibling(name, quadlet))
		if err != nil {
			return Files{}, fmt.Errorf("unit %s: %w", name, err)
		}
		files.Fragment = path
	}
	files.Name = names[len(names)-1]
	files.Masked = files.Fragment != "" && f.masked(files.Fragment)
	if files.Masked {
		return files, nil
	}
	slices.Reverse(names)
	files.DropIns = f.dropIns(dropInFolders(append(names, f.aliases(files.Name)...)...), []string{kind(name) + ".d"})
	if files.Fragment == "" && (len(files.DropIns) == 0 || !strings.HasSuffix(filepath.Dir(files.DropIns[0]), name+".d")) {
		return Files{}, fmt.Errorf("unit %s: %w in %s", name, fs.ErrNotExist, strings.Join(f.Dirs, ", "))
	}
	return files, nil
}

// fragment finds the file of a unit, or of its template; "" where there is none. A
// link to a file of another name makes the unit an alias of that.
func (f Folders) fragment(name string) (path, alias string, err error) {
	for _, n := range []string{name, template(name)} {
		if n == "" {
			continue
		}
		for _, dir := range f.Dirs {
			path := filepath.Join(f.Root, dir, n)
			info, err := os.Lstat(path)
			if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
				continue
			}
			if err != nil {
				return "", "", err
			}
			target, err := os.Readlink(path)
			if err != nil || target == os.DevNull {
				return path, "", nil
			}
			to := filepath.Base(target)
			if t := template(name); t != "" && to == t { // an instance that is enabled
				return path, "", nil
			}
			if to != n && kind(to) == kind(n) && validName(to) {
				return path, to, nil
			}
			return path, "", nil
		}
	}
	return "", "", nil
}

// aliases are the names of links to a unit: their drop-ins are the unit's.
func (f Folders) aliases(name string) (names []string) {
	for _, dir := range f.Dirs {
		entries, _ := os.ReadDir(filepath.Join(f.Root, dir))
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink == 0 || kind(e.Name()) != kind(name) || e.Name() == name {
				continue
			}
			if target, err := os.Readlink(filepath.Join(f.Root, dir, e.Name())); err == nil && filepath.Base(target) == name {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// masked reports whether a file stands for nothing.
func (f Folders) masked(path string) bool {
	path = f.resolve(path)
	info, err := os.Stat(path)
	return path == f.null() || err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// dropIns lists the drop-ins in folders of these names: those of the unit, and those
// of its kind. They are sorted by the files' names. Of one name that of the unit
// comes first, then that in the stronger folder, then that for the more specific
// name, and hides the others.
func (f Folders) dropIns(unit, kind []string) (paths []string) {
	seen := make(map[string]string)
	for _, folders := range [][]string{unit, kind} {
		for _, dir := range f.Dirs {
			for _, folder := range folders {
				dir := filepath.Join(f.Root, dir, folder)
				entries, _ := os.ReadDir(dir)
				for _, e := range entries {
					if _, hidden := seen[e.Name()]; strings.HasSuffix(e.Name(), ".conf") && !hidden {
						seen[e.Name()] = filepath.Join(dir, e.Name())
					}
				}
			}
		}
	}
	for _, path := range seen {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return paths
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

// all names the units of a kind that have a file.
func (f Folders) all(kind string) (names []string) {
	for _, dir := range f.Dirs {
		entries, _ := os.ReadDir(filepath.Join(f.Root, dir))
		for _, e := range entries {
			if name := e.Name(); strings.HasSuffix(name, "."+kind) && !e.IsDir() && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// Sockets implements [Source].
func (f Folders) Sockets(service string) (names []string, err error) {
	for _, name := range f.all("socket") {
		u, err := load(f, name)
		if err != nil || slices.Contains(names, u.Name) {
			continue
		}
		_, alias, _ := f.fragment(target(u))
		if target(u) == service || alias != "" && starts(f, u, service) {
			names = append(names, u.Name)
		}
	}
	return names, nil
}

// Services implements [Source].
func (f Folders) Services(socket string) (names []string, err error) {
	for _, name := range f.all("service") {
		u, err := load(f, name)
		if err != nil || slices.Contains(names, u.Name) {
			continue
		}
		if _, ok := u.names("Service", "Sockets")[socket]; ok {
			names = append(names, u.Name)
		}
	}
	return names, nil
}
