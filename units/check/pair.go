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
}

// Load reads the units of these names, each with its other half: a socket with its
// service, a service with its sockets. What belongs together comes as one pair.
//
// errors.Is finds fs.ErrNotExist where there is no unit of a name that was asked
// for. That a pair lacks its other half is no error: there is a rule for it.
func Load(s Source, names ...string) ([]*Pair, error) {
	var pairs []*Pair
	for _, name := range names {
		if slices.ContainsFunc(pairs, func(p *Pair) bool { return p.has(name) }) {
			continue
		}
		p, err := loadPair(s, name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(pairs, func(q *Pair) bool { return q.same(p) }) {
			pairs = append(pairs, p)
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
func (p *Pair) has(name string) bool {
	return slices.ContainsFunc(p.Units(), func(u *Unit) bool { return u.Name == name })
}

// same reports whether q is what p is.
func (p *Pair) same(q *Pair) bool {
	return q.Service != nil && p.Service != nil && p.Service.Name == q.Service.Name
}

func loadPair(s Source, name string) (*Pair, error) {
	if k := kind(name); k != "service" && k != "socket" {
		return nil, fmt.Errorf("unit %q: want the name of a .service or of a .socket", name)
	}
	asked, err := load(s, name)
	if err != nil {
		return nil, err
	}
	p := &Pair{Name: name, missing: make(map[string]string)}
	if asked.Service() {
		p.Service, p.want = asked, asked.Name
	} else {
		p.Sockets, p.want = []*Unit{asked}, target(asked)
		if strings.Contains(p.want, "%") { // known once it is started
			return p, nil
		}
		if p.Service, err = load(s, p.want); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := p.findSockets(s); err != nil {
		return nil, err
	}
	return p, p.findOthers(s)
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
func starts(s Source, socket *Unit, service string) bool {
	name := target(socket)
	if name == service || strings.Contains(name, "%") {
		return name == service
	}
	files, err := s.Find(name)
	return err == nil && files.Name == service
}

// findSockets adds the sockets that belong to the service.
func (p *Pair) findSockets(s Source) error {
	if p.Service == nil {
		return nil
	}
	named := p.Service.names("Service", "Sockets")
	candidates := []string{sibling(p.Service.Name, "socket")}
	if prefix, ok := strings.CutSuffix(p.Service.Name, "@.service"); ok {
		candidates = append(candidates, prefix+".socket")
	}
	more, err := s.Sockets(p.Service.Name)
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
		u, err := load(s, name)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err != nil && wanted:
			if wanted {
				p.missing[name] = err.Error()
			}
		case err != nil:
			return err
		case (wanted || starts(s, u, p.Service.Name)) && !p.has(u.Name):
			p.Sockets = append(p.Sockets, u)
		}
	}
	return nil
}

// findOthers adds the services that share a socket with this one.
func (p *Pair) findOthers(s Source) error {
	for _, socket := range p.Sockets {
		names, err := s.Services(socket.Name)
		if err != nil {
			return err
		}
		if _, accept := socket.yes("Socket", "Accept"); !accept {
			names = append(names, target(socket))
		}
		for _, name := range names {
			known := slices.ContainsFunc(p.others, func(u *Unit) bool { return u.Name == name })
			if known || p.has(name) {
				continue
			}
			if u, err := load(s, name); err == nil && !p.has(u.Name) {
				p.others = append(p.others, u)
			}
		}
	}
	return nil
}

// forVersion is the pair with what this version of systemd does not ignore.
func (p *Pair) forVersion(version int) *Pair {
	aim := func(u *Unit) *Unit {
		if u == nil {
			return nil
		}
		aimed := *u
		aimed.held = u.heldBy(version)
		return &aimed
	}
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
