package check

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Pair is a service and the socket units that hold its sockets.
type Pair struct {
	Name    string  // of the unit that was asked for
	Service *Unit   // nil where there is none
	Sockets []*Unit // those that start it, and those that its Sockets= names

	want    string            // the service that the sockets would start
	missing map[string]string // names in Sockets= that no unit has, and why
	others  []*Unit           // further services that inherit one of the sockets
	known   map[string]bool   // the names of Units
	absent  map[string]bool   // the names of units that the service needs, and that there are not
}

// Load reads the units of these names, each with its other half: a socket with its
// service, a service with its sockets. What belongs together comes as one pair.
//
// errors.Is finds fs.ErrNotExist where there is no unit of a name that was asked
// for. That a pair lacks its other half is no error: there is a rule for it.
func Load(s Source, names ...string) ([]*Pair, error) {
	l := newLoader(s)
	var pairs []*Pair
	have, services := make(map[string]bool), make(map[string]bool)
	for _, name := range names {
		if have[name] {
			continue
		}
		p, err := l.pair(name)
		if err != nil {
			return nil, err
		}
		if p.Service != nil && services[p.Service.Name] { // asked for by an alias
			continue
		}
		pairs = append(pairs, p)
		for _, u := range p.Units() {
			have[u.Name] = true
		}
		if p.Service != nil {
			services[p.Service.Name] = true
		}
	}
	return pairs, nil
}

// Units are the sockets and the service, as far as there are any.
func (p *Pair) Units() []*Unit {
	if p.Service == nil {
		return p.Sockets
	}
	return append(p.Sockets[:len(p.Sockets):len(p.Sockets)], p.Service)
}

// has reports whether a unit of this name is part of p.
func (p *Pair) has(name string) bool { return p.known[name] }

// add adds a socket, or the service.
func (p *Pair) add(u *Unit) {
	p.known[u.Name] = true
	if u.Service() {
		p.Service = u
	} else {
		p.Sockets = append(p.Sockets, u)
	}
}

// pair loads what belongs to a unit.
func (l *loader) pair(name string) (*Pair, error) {
	if k := kind(name); k != "service" && k != "socket" {
		return nil, fmt.Errorf("unit %q: want the name of a .service or of a .socket", name)
	}
	asked, err := l.load(name)
	if err != nil {
		return nil, err
	}
	p := &Pair{Name: name, missing: make(map[string]string), known: make(map[string]bool)}
	p.add(asked)
	if asked.Service() {
		p.want = asked.Name
	} else {
		p.want = target(asked)
		if strings.Contains(p.want, "%") { // known once it is started
			return p, nil
		}
		service, err := l.load(p.want)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil {
			p.add(service)
		}
	}
	if err := p.findSockets(l); err != nil {
		return nil, err
	}
	p.findAbsent(l)
	return p, p.findOthers(l)
}

// findAbsent notes which units the service needs that there are not.
func (p *Pair) findAbsent(l *loader) {
	knows, ok := l.source.(interface {
		absent(s Source, name string) bool // of an Index, and what embeds one
	})
	if !ok || p.Service == nil {
		return
	}
	for name := range p.Service.names("Unit", needs...) {
		if knows.absent(l.source, name) {
			if p.absent == nil {
				p.absent = make(map[string]bool)
			}
			p.absent[name] = true
		}
	}
}

// target is the service that a socket starts. With Accept=yes that is a template.
func target(socket *Unit) string {
	if _, accept := socket.yes("Socket", "Accept"); accept {
		prefix, _, _ := strings.Cut(base(socket.Name), "@")
		return prefix + "@.service"
	}
	if o, ok := socket.last("Socket", "Service"); ok {
		return socket.expandName(o.Value)
	}
	return sibling(socket.Name, "service")
}

// starts reports whether a socket starts the service, by its name or by an alias.
func (l *loader) starts(socket *Unit, service string) bool {
	name := target(socket)
	if name == service || strings.Contains(name, "%") {
		return name == service
	}
	files, err := l.source.Find(name)
	return err == nil && files.Name == service
}

// findSockets adds the sockets that belong to the service.
func (p *Pair) findSockets(l *loader) error {
	if p.Service == nil {
		return nil
	}
	named := p.Service.names("Service", "Sockets")
	candidates := []string{sibling(p.Service.Name, "socket")}
	if prefix, ok := strings.CutSuffix(p.Service.Name, "@.service"); ok {
		candidates = append(candidates, prefix+".socket")
	}
	more, err := l.source.Sockets(p.Service.Name)
	if err != nil {
		return err
	}
	candidates = append(candidates, more...)
	for name := range named {
		candidates = append(candidates, name)
	}
	slices.Sort(candidates)
	for _, name := range slices.Compact(candidates) {
		if p.has(name) {
			continue
		}
		_, wanted := named[name]
		u, err := l.load(name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err != nil && wanted:
			if wanted {
				p.missing[name] = err.Error()
			}
		case err != nil:
			return err
		case (wanted || l.starts(u, p.Service.Name)) && !p.has(u.Name):
			p.add(u)
		}
	}
	return nil
}

// findOthers adds the services that share a socket with this one.
func (p *Pair) findOthers(l *loader) error {
	known := make(map[string]bool)
	for _, socket := range p.Sockets {
		names, err := l.source.Services(socket.Name)
		if err != nil {
			return err
		}
		if _, accept := socket.yes("Socket", "Accept"); !accept {
			names = append(names, target(socket))
		}
		for _, name := range names {
			if known[name] || p.has(name) {
				continue
			}
			known[name] = true
			if u, err := l.load(name); err == nil && !p.has(u.Name) {
				p.others = append(p.others, u)
			}
		}
	}
	return nil
}

// aimer returns a function that returns a unit with what this version of systemd does
// not ignore. Of one unit it makes one.
func aimer(version int) func(*Unit) *Unit {
	made := make(map[*Unit]*Unit)
	return func(u *Unit) *Unit {
		if u == nil {
			return nil
		}
		if made[u] == nil {
			aimed := *u
			aimed.held = u.heldBy(version)
			made[u] = &aimed
		}
		return made[u]
	}
}

// aimed is the pair of units that aim has made of p's.
func (p *Pair) aimed(aim func(*Unit) *Unit) *Pair {
	aimed := *p
	aimed.Service = aim(p.Service)
	aimed.Sockets, aimed.others = nil, nil
	for _, u := range p.Sockets {
		aimed.Sockets = append(aimed.Sockets, aim(u))
	}
	for _, u := range p.others {
		aimed.others = append(aimed.others, aim(u))
	}
	return &aimed
}
