package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// An Index is a [Source] that reads each of its folders once, and each unit once. What
// is written after that it does not see. It is not for several goroutines.
type Index struct {
	Folders

	folders  map[string]folder   // by path; each is read when it is first looked at
	linked   map[string][]string // the names of links to a unit, by the unit's name
	sockets  map[string][]string // the sockets that start a service
	services map[string][]string // the services whose Sockets= names a socket
	*loader
}

var _ Source = (*Index)(nil)

// A folder is what os.ReadDir says of it, or why it says nothing.
type folder struct {
	sorted []fs.DirEntry
	byName map[string]fs.DirEntry
	err    error
}

// folder reads a folder, or returns what was read before. One that there is not is
// empty.
func (ix *Index) folder(dir string) folder {
	path := filepath.Join(ix.Root, dir)
	if f, ok := ix.folders[path]; ok {
		return f
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = nil
	}
	f := folder{sorted: entries, byName: make(map[string]fs.DirEntry, len(entries)), err: err}
	for _, e := range entries {
		f.byName[e.Name()] = e
	}
	if ix.folders == nil {
		ix.folders = make(map[string]folder)
	}
	ix.folders[path] = f
	return f
}

// Find implements [Source].
func (ix *Index) Find(name string) (Files, error) {
	if !validName(name) {
		return Files{}, fmt.Errorf("unit %q: it is not a name that a unit may have", name)
	}
	names := []string{name}
	files := Files{Name: name, User: ix.User}
	for range 16 { // links to links
		path, target, err := ix.fragment(names[len(names)-1])
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
		path, _, err := ix.fragment(sibling(name, quadlet))
		if err != nil {
			return Files{}, fmt.Errorf("unit %s: %w", name, err)
		}
		files.Fragment = path
	}
	files.Name = names[len(names)-1]
	files.Masked = files.Fragment != "" && ix.masked(files.Fragment)
	if files.Masked {
		return files, nil
	}
	slices.Reverse(names)
	files.DropIns = ix.dropIns(dropInFolders(append(names, ix.aliases(files.Name)...)...), []string{kind(name) + ".d"})
	if files.Fragment == "" && (len(files.DropIns) == 0 || !strings.HasSuffix(filepath.Dir(files.DropIns[0]), name+".d")) {
		return Files{}, fmt.Errorf("unit %s: %w in %s", name, fs.ErrNotExist, strings.Join(ix.Dirs, ", "))
	}
	return files, nil
}

// fragment finds the file of a unit, or of its template; "" where there is none. A
// link to a file of another name makes the unit an alias of that.
func (ix *Index) fragment(name string) (path, alias string, err error) {
	for _, n := range []string{name, template(name)} {
		if n == "" {
			continue
		}
		for _, dir := range ix.Dirs {
			there := ix.folder(dir)
			if there.err != nil {
				return "", "", there.err
			}
			entry, ok := there.byName[n]
			if !ok || entry.IsDir() {
				continue
			}
			path := filepath.Join(ix.Root, dir, n)
			if entry.Type()&fs.ModeSymlink == 0 {
				return path, "", nil
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
func (ix *Index) aliases(name string) []string {
	if ix.linked == nil {
		ix.linked = make(map[string][]string)
		for _, dir := range ix.Dirs {
			for _, e := range ix.folder(dir).sorted {
				if e.Type()&fs.ModeSymlink == 0 {
					continue
				}
				target, err := os.Readlink(filepath.Join(ix.Root, dir, e.Name()))
				if to := filepath.Base(target); err == nil && kind(e.Name()) == kind(to) && e.Name() != to {
					ix.linked[to] = append(ix.linked[to], e.Name())
				}
			}
		}
	}
	return ix.linked[name]
}

// dropIns lists the drop-ins in folders of these names: those of the unit, and those
// of its kind. They are sorted by the files' names. Of one name that of the unit
// comes first, then that in the stronger folder, then that for the more specific
// name, and hides the others.
func (ix *Index) dropIns(unit, kind []string) (paths []string) {
	seen := make(map[string]string)
	for _, folders := range [][]string{unit, kind} {
		for _, dir := range ix.Dirs {
			there := ix.folder(dir).byName
			for _, name := range folders {
				if _, ok := there[name]; !ok {
					continue
				}
				for _, e := range ix.folder(filepath.Join(dir, name)).sorted {
					if _, hidden := seen[e.Name()]; strings.HasSuffix(e.Name(), ".conf") && !hidden {
						seen[e.Name()] = filepath.Join(ix.Root, dir, name, e.Name())
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

// all names the units of a kind that have a file.
func (ix *Index) all(kind string) (names []string) {
	for _, dir := range ix.Dirs {
		for _, e := range ix.folder(dir).sorted {
			if name := e.Name(); strings.HasSuffix(name, "."+kind) && !e.IsDir() {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// each calls f for each unit of a kind that has a file and can be read, once whatever
// its aliases are.
func (ix *Index) each(kind string, f func(u *Unit)) {
	seen := make(map[string]bool)
	for _, name := range ix.all(kind) {
		if u, err := ix.load(name); err == nil && !seen[u.Name] {
			seen[u.Name] = true
			f(u)
		}
	}
}

// Sockets implements [Source].
func (ix *Index) Sockets(service string) ([]string, error) {
	if ix.sockets == nil {
		ix.sockets = make(map[string][]string)
		ix.each("socket", func(u *Unit) {
			name := target(u)
			ix.sockets[name] = append(ix.sockets[name], u.Name)
			if _, alias, _ := ix.fragment(name); alias != "" && !strings.Contains(name, "%") {
				if files, err := ix.Find(name); err == nil && files.Name != name {
					ix.sockets[files.Name] = append(ix.sockets[files.Name], u.Name)
				}
			}
		})
	}
	return ix.sockets[service], nil
}

// Services implements [Source].
func (ix *Index) Services(socket string) ([]string, error) {
	if ix.services == nil {
		ix.services = make(map[string][]string)
		ix.each("service", func(u *Unit) {
			for name := range u.names("Service", "Sockets") {
				ix.services[name] = append(ix.services[name], u.Name)
			}
		})
	}
	return ix.services[socket], nil
}

// absent reports whether there is no unit of a name, as far as that can be known: systemd
// makes units of other kinds itself.
func (ix *Index) absent(s Source, name string) bool {
	if !ix.Complete || !slices.Contains([]string{"service", "socket", "target", "path", "timer"}, kind(name)) {
		return false
	}
	_, err := s.Find(name)
	return errors.Is(err, fs.ErrNotExist)
}
