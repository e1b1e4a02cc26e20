package parcel

import (
	"fmt"
	"strconv"
	"strings"
)

// SocketEnv is the variable that names a generation's end of the socket over
// which its manager delivers to it, by its number: HANDOFF_SOCKET=5.
const SocketEnv = "HANDOFF_SOCKET"

const (
	deliveryVersion = "1"
	maxDelivery     = 4096 // bytes of one message, as for sd_notify(3)
	maxFDName       = 255
)

// A note is one message on HANDOFF_SOCKET, apart from its descriptors.
type note struct {
	id    uint64 // with a name: a delivery
	name  string
	owned bool
	Reply
	release, resume uint64

	quiesce, rejoin bool
}

// numbers are the keys whose value is a number, apart from ID.
func (n *note) numbers() map[string]*uint64 {
	return map[string]*uint64{
		"TAKEN": &n.Taken, "RELEASE": &n.release, "RELEASED": &n.Released, "RESUME": &n.resume, "RESUMED": &n.Resumed,
	}
}

// text returns n as it is sent.
func (n note) text() []byte {
	b := []byte("HANDOFF=" + deliveryVersion)
	if n.owned {
		b = append(b, "\nOWNED=1"...)
	}
	if n.quiesce {
		b = append(b, "\nQUIESCE=1"...)
	}
	if n.rejoin {
		b = append(b, "\nQUIESCE=0"...)
	}
	for key, v := range n.numbers() {
		if *v != 0 {
			b = append(b, "\n"+key+"="+strconv.FormatUint(*v, 10)...)
		}
	}
	if n.id != 0 {
		b = append(b, "\nID="+strconv.FormatUint(n.id, 10)+"\nFDNAME="+n.name...)
	}
	return b
}

// parseNote reads message m, with which came that many descriptors. A message
// that says nothing known is the zero note: a later version's, to be ignored.
func parseNote(m []byte, descriptors int) (note, error) {
	fields := make(map[string]string)
	for i, line := range strings.Split(string(m), "\n") {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case i == 0 && key != "HANDOFF":
			return note{}, fmt.Errorf("%w: it begins with %.32q, want %q", ErrFormat, line, "HANDOFF="+deliveryVersion)
		case i == 0 && value != deliveryVersion:
			return note{}, fmt.Errorf("%w: it is %.32q, and this program reads HANDOFF=%s", ErrVersion, line, deliveryVersion)
		case !ok && line != "":
			return note{}, fmt.Errorf("%w: %.32q is no assignment", ErrFormat, line)
		}
		if _, again := fields[key]; !again {
			fields[key] = value
		}
	}
	var (
		n   note
		err error
	)
	_, n.owned = fields["OWNED"]
	n.quiesce, n.rejoin = fields["QUIESCE"] == "1", fields["QUIESCE"] == "0"
	words := 0
	for key, number := range n.numbers() {
		if v, ok := fields[key]; ok {
			words++
			if *number, err = parseID(key, v); err != nil {
				return note{}, err
			}
		}
	}
	for _, key := range []string{"ID", "OWNED", "QUIESCE"} {
		if _, ok := fields[key]; ok {
			words++
		}
	}
	if words > 1 {
		return note{}, fmt.Errorf("%w: it says several things at once", ErrFormat)
	}
	v, ok := fields["ID"]
	if !ok {
		return n, nil
	}
	if n.id, err = parseID("ID", v); err != nil {
		return note{}, err
	}
	if n.name, ok = fields["FDNAME"]; !ok {
		return note{}, fmt.Errorf("%w: delivery %d has no FDNAME", ErrFormat, n.id)
	}
	if err := checkFDName(n.name); err != nil {
		return note{}, fmt.Errorf("%w: delivery %d: %w", ErrFormat, n.id, err)
	}
	if descriptors <= 0 {
		return note{}, fmt.Errorf("%w: delivery %d, %q, has no descriptors", ErrFormat, n.id, n.name)
	}
	return n, nil
}

func parseID(key, value string) (uint64, error) {
	id, err := strconv.ParseUint(value, 10, 64)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%w: %s=%.32s, want a number above 0", ErrFormat, key, value)
	}
	return id, nil
}

// checkFDName tells whether name is one that sd_listen_fds_with_names(3) can
// return.
func checkFDName(name string) error {
	if len(name) > maxFDName {
		return fmt.Errorf("the name %.32q... has %d bytes, want at most %d", name, len(name), maxFDName)
	}
	for _, c := range []byte(name) {
		if c < 0x20 || c > 0x7e || c == ':' {
			return fmt.Errorf("the name %.64q contains %q", name, c)
		}
	}
	return nil
}
