package units

import (
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// Render returns the units that d describes, the sockets first, with comments that
// say why each line is there. Unit.File is the name of the file, and for a drop-in
// the folder before it; MarshalText is its text. `systemd-analyze verify` accepts
// them without a word.
//
// The time limits and counts in them agree: systemd waits longer than the program
// may take to get ready and to drain, and the fd store has room for what the program
// and handoffd store. An error says what in d is wrong.
func Render(d Description) ([]*Unit, error) {
	d, err := d.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("units: %w", err)
	}
	var rendered []*Unit
	for _, name := range d.names() {
		rendered = append(rendered, d.socketUnit(name))
	}
	switch d.Kind {
	case KindContainer:
		return append(rendered, d.containerUnit()), nil
	case KindDropIn:
		return append(rendered, d.dropIn()), nil
	}
	return append(rendered, d.serviceUnit()), nil
}

// A builder writes one unit, line by line.
type builder struct {
	unit    *Unit
	section string
}

func newBuilder(file string) *builder { return &builder{unit: &Unit{File: file}} }

// in begins a section.
func (b *builder) in(section string) { b.section = section }

// add appends an assignment. The comment may take several lines; a leading empty
// one sets the assignment apart.
func (b *builder) add(comment, name, value string) {
	b.unit.Options = append(b.unit.Options, Option{Section: b.section, Name: name, Value: value, Comment: comment})
}

// flags appends assignments that need no word each, "NAME=VALUE"; the comment
// stands above the first.
func (b *builder) flags(comment string, assignments ...string) {
	for _, a := range assignments {
		name, value, _ := strings.Cut(a, "=")
		b.add(comment, name, value)
		comment = ""
	}
}

// socketName is the file of the socket unit with the sockets of this name.
func (d Description) socketName(name string) string {
	if len(d.names()) == 1 {
		return d.Name + ".socket"
	}
	return d.Name + "-" + unit.UnitNameEscape(name) + ".socket"
}

// serviceName is the file of the service.
func (d Description) serviceName() string {
	switch d.Kind {
	case KindAccept:
		return d.Name + "@.service"
	case KindContainer:
		return d.Name + ".container"
	case KindDropIn:
		return d.Name + ".service.d/" + DropInFile
	}
	return d.Name + ".service"
}

// socketUnit holds the sockets of this name.
func (d Description) socketUnit(name string) *Unit {
	b := newBuilder(d.socketName(name))
	b.unit.Comment = "The socket of " + d.Name + ". systemd holds it, so it stays open while the program is\nreplaced: clients wait in the queue, and none is refused."
	b.in("Unit")
	description := d.Name + " (socket)"
	if len(d.names()) > 1 {
		description = d.Name + " (socket " + specifiers(name) + ")"
	}
	b.add("", "Description", description)
	b.in("Socket")
	var stream, datagram, unix bool
	for _, s := range d.Sockets {
		if s.Name != name {
			continue
		}
		address, _ := s.listen() // checked
		option := "ListenDatagram"
		if s.stream() {
			option = "ListenStream"
		}
		stream, datagram, unix = stream || s.stream(), datagram || !s.stream(), unix || s.unix()
		b.add("", option, address)
	}
	if d.Kind == KindAccept {
		b.add("The program is started for each connection.", "Accept", "yes")
		b.add("So many run at once at most; further clients are turned away.", "MaxConnections", "1024")
		b.add("Else systemd shuts the socket for good when 200 clients come within 2 s.", "TriggerLimitIntervalSec", "0")
	} else {
		b.add("The name by which the program asks for it (LISTEN_FDNAMES of sd_listen_fds(3)).", "FileDescriptorName", specifiers(name))
	}
	if len(d.names()) > 1 {
		b.add("Several sockets belong to the service, so it is named.", "Service", d.Name+".service")
	}
	if stream {
		b.add("Connections that wait while the service restarts. net.core.somaxconn caps it.", "Backlog", "4096")
	}
	if datagram {
		b.add("The queue of datagrams that wait while the service restarts; what comes when it\nis full is dropped.", "ReceiveBuffer", "8M")
	}
	if unix {
		b.add("Whoever is on this host may connect. To admit some only: 0660, and SocketGroup=.", "SocketMode", "0666")
	}
	b.in("Install")
	b.add("", "WantedBy", "sockets.target")
	return b.unit
}
