package check

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

// A Unit is one unit, its drop-ins merged into it in the order in which systemd
// reads them (systemd.unit(5)).
type Unit struct {
	Name     string   // "app.service"; of a template instance "app@1.service"
	Fragment string   // the unit file
	DropIns  []string // in the order in which they are read
	Masked   bool     // it is a link to /dev/null, or empty, and cannot be started
	User     bool     // of a user's manager

	options []units.Option // all, in the order in which they are read
	held    []units.Option // those of them that systemd does not ignore
	ignored []*units.SyntaxError
	broken  *units.SyntaxError // why systemd does not load it
}

// Files says what a unit is made of.
type Files struct {
	Name     string   // of the unit; another one than was asked for where that is an alias
	Fragment string   // the path of the unit file; "" where it is masked
	DropIns  []string // paths, in the order in which they are read
	Masked   bool
	User     bool
}

// A Source knows units: [Folders] does, and so may a manager that is asked over
// D-Bus.
type Source interface {
	// Find returns what a unit is made of. errors.Is finds fs.ErrNotExist where
	// there is no such unit.
	Find(name string) (Files, error)

	// Read returns the text of one of the Files.
	Read(path string) (string, error)

	// Sockets names the socket units that hold sockets for a service by their
	// Service= or by its Sockets=, and may name that of the same name.
	Sockets(service string) ([]string, error)

	// Services names the services that inherit a socket by its Service= or by their
	// Sockets=, and may name that of the same name.
	Services(socket string) ([]string, error)
}

// maxFile bounds what is read of one unit file: the rules compare all with all.
const maxFile = 256 << 10

// A loader reads each unit of a source once.
type loader struct {
	source Source
	loaded map[string]loaded // by the name that was asked for
}

type loaded struct {
	unit *Unit
	err  error
}

// newLoader returns the loader of a source. Folders are read once.
func newLoader(s Source) *loader {
	switch s := s.(type) {
	case Folders:
		return s.Index().loader
	case *Index:
		return s.loader
	}
	return &loader{source: s, loaded: make(map[string]loaded)}
}

// load returns a unit. Lines that systemd does not understand are no error: there is
// a rule for them.
func (l *loader) load(name string) (*Unit, error) {
	if have, ok := l.loaded[name]; ok {
		return have.unit, have.err
	}
	u, err := read(l.source, name)
	l.loaded[name] = loaded{u, err}
	return u, err
}

// read reads a unit.
func read(s Source, name string) (*Unit, error) {
	files, err := s.Find(name)
	if err != nil {
		return nil, err
	}
	u := &Unit{Name: files.Name, Fragment: files.Fragment, DropIns: files.DropIns, Masked: files.Masked, User: files.User}
	if u.Masked {
		return u, nil
	}
	for i, path := range append([]string{u.Fragment}, u.DropIns...) {
		if path == "" { // a unit of drop-ins alone
			continue
		}
		text, err := s.Read(path)
		if i > 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("unit %s: read %s: %w", name, path, err)
		}
		if len(text) > maxFile {
			return nil, fmt.Errorf("unit %s: %s: %d bytes, and at most %d are read", name, path, len(text), maxFile)
		}
		u.add(path, text, i == 0)
	}
	u.held = u.heldBy(Newest)
	return u, nil
}

// heldBy are the options that this version of systemd does not ignore.
func (u *Unit) heldBy(version int) (held []units.Option) {
	for _, o := range u.options {
		k := knownOptions()[o.Name]
		if slices.Contains(k.sections, o.Section) && k.since <= version && (k.gone == 0 || k.gone > version) &&
			newValues[o.Name][o.Value] <= version && readable(o) {
			held = append(held, o)
		}
	}
	return held
}

// add merges one file. A line at which systemd gives up ends that file; where it is
// the unit file itself the unit is not loaded at all.
func (u *Unit) add(path, text string, fragment bool) {
	parsed, err := units.Parse(path, text)
	fault, _ := errors.AsType[*units.SyntaxError](err)
	if i := slices.IndexFunc(parsed.Options, fatal); i >= 0 { // before any fault of syntax
		o := parsed.Options[i]
		fault = &units.SyntaxError{File: o.File, Line: o.Line, Reason: fmt.Sprintf("it cannot read %s=%s", o.Name, o.Value)}
		parsed.Options = parsed.Options[:i]
		parsed.Ignored = slices.DeleteFunc(parsed.Ignored, func(e *units.SyntaxError) bool { return e.Line > o.Line })
	}
	if fragment && kind(path) == quadlet {
		parsed.Options = generate(path, parsed.Options)
	}
	u.options = append(u.options, parsed.Options...)
	u.ignored = append(u.ignored, parsed.Ignored...)
	switch {
	case fault == nil:
	case fragment:
		u.broken = fault
	default:
		u.ignored = append(u.ignored, &units.SyntaxError{File: fault.File, Line: fault.Line, Reason: fault.Reason + ", nor does it read the rest of the file"})
	}
}

// Service reports whether u is a service, and not a socket.
func (u *Unit) Service() bool { return strings.HasSuffix(u.Name, ".service") }

// own is the section that is named after the unit's kind.
func (u *Unit) own() string {
	if u.Service() {
		return "Service"
	}
	return "Socket"
}

// last returns the assignment that holds, of an option that has one value: the last
// of any of the names. An empty one is as good as none.
func (u *Unit) last(section string, names ...string) (units.Option, bool) {
	if u == nil {
		return units.Option{}, false
	}
	for _, o := range slices.Backward(u.held) {
		if o.Section == section && slices.Contains(names, o.Name) {
			return o, o.Value != ""
		}
	}
	return units.Option{}, false
}

// value is the value that holds, with the specifiers of names expanded; "" for none.
func (u *Unit) value(section string, names ...string) string {
	o, _ := u.last(section, names...)
	return u.expand(o.Value)
}

// list returns the assignments that hold, of an option that adds up. An empty one
// forgets those before it.
func (u *Unit) list(section string, names ...string) (all []units.Option) {
	if u == nil {
		return nil
	}
	for _, o := range u.held {
		switch {
		case o.Section != section || !slices.Contains(names, o.Name):
		case o.Value == "":
			all = nil
		default:
			all = append(all, o)
		}
	}
	return all
}

// names returns the unit names in a list of them, and where each stands.
func (u *Unit) names(section string, options ...string) map[string]units.Option {
	names := make(map[string]units.Option)
	for _, o := range u.list(section, options...) {
		for _, name := range words(o.Value) {
			name = u.expandName(name)
			if _, ok := names[name]; !ok {
				names[name] = o
			}
		}
	}
	return names
}

// A named is the name of a unit, and where it stands.
type named struct {
	name string
	at   units.Option
}

// sortedNames is names in the order of the alphabet.
func (u *Unit) sortedNames(section string, options ...string) (all []named) {
	names := u.names(section, options...)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, named{name, names[name]})
	}
	return all
}

// yes reports whether a boolean option is on, and where that was said.
func (u *Unit) yes(section, name string) (units.Option, bool) {
	o, _ := u.last(section, name)
	yes, _ := parseBool(o.Value)
	return o, yes
}

// at is where a finding about something that is absent points to: the first of the
// options that there is, or else the unit's first line.
func (u *Unit) at(section string, names ...string) units.Option {
	for _, name := range names {
		if o, ok := u.last(section, name); ok {
			return o
		}
	}
	if len(u.options) > 0 {
		return u.options[0]
	}
	return units.Option{File: u.path(), Line: 1}
}

// path is a file of the unit: its own, or a drop-in where it has none.
func (u *Unit) path() string {
	if u.Fragment == "" && len(u.DropIns) > 0 {
		return u.DropIns[0]
	}
	if u.Fragment == "" {
		return u.Name
	}
	return u.Fragment
}
