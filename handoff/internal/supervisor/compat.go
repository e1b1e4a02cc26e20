package supervisor

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/activation"
)

// A Compat is another program in whose way generations find their sockets, beside
// LISTEN_FDS.
type Compat string

const (
	// CompatServerStarter is start_server of Perl's Server::Starter 0.35:
	// SERVER_STARTER_PORT and SERVER_STARTER_GENERATION.
	CompatServerStarter Compat = "server-starter"
	// CompatEinhorn is Einhorn, of before and after its version 1.0: EINHORN_FD_COUNT
	// and EINHORN_FD_0 to the last, and EINHORN_FDS. There is no command socket.
	CompatEinhorn Compat = "einhorn"
)

// ParseCompat reads the name of one.
func ParseCompat(s string) (Compat, error) {
	switch c := Compat(s); c {
	case CompatServerStarter, CompatEinhorn:
		return c, nil
	}
	return "", fmt.Errorf("%q: want %s or %s", s, CompatServerStarter, CompatEinhorn)
}

// isCompat reports whether a variable is of such a program. It is about descriptors
// that a generation does not have, and about a parent that is not its own.
func isCompat(v string) bool {
	return strings.HasPrefix(v, "SERVER_STARTER_") || strings.HasPrefix(v, "EINHORN_")
}

// firstFD is the number of the first descriptor that is passed (sd_listen_fds(3)).
const firstFD = 3

// An address is that of a socket that is passed as the descriptor fd.
type address struct {
	fd   int
	text string // as start_server has it
}

// addresses returns the sockets that those programs would pass: they know of no
// other descriptors, and of none that is connected.
func addresses(sockets []activation.NamedFile) ([]address, error) {
	var list []address
	for i, f := range sockets {
		k, err := activation.Inspect(f.File)
		if err != nil {
			return nil, err
		}
		if k.Type != activation.TypeSocket || k.Connected || k.Addr == nil {
			continue
		}
		list = append(list, address{firstFD + i, starterAddress(k.Addr)})
	}
	return list, nil
}

// starterAddress is what start_server says of a socket: the port alone for all of
// IPv4 (--port=80), else the host and the port, or the path.
func starterAddress(a net.Addr) string {
	if _, ok := a.(*net.UnixAddr); ok {
		return a.String()
	}
	return strings.TrimPrefix(a.String(), "0.0.0.0:")
}

// environ returns the variables of a generation. The parent of its main process has
// the number parent.
func (c Compat) environ(sockets []activation.NamedFile, generation uint64, parent int) ([]string, error) {
	if c == "" {
		return nil, nil
	}
	list, err := addresses(sockets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	if c == CompatEinhorn {
		return einhornEnviron(list, parent), nil
	}
	var ports []string
	for _, a := range list {
		if strings.ContainsAny(a.text, ";=") {
			return nil, fmt.Errorf("%s: the socket on %s (fd %d): SERVER_STARTER_PORT has no way to write an address with ; or = in it", c, a.text, a.fd)
		}
		ports = append(ports, a.text+"="+strconv.Itoa(a.fd))
	}
	return []string{
		"SERVER_STARTER_PORT=" + strings.Join(ports, ";"),
		"SERVER_STARTER_GENERATION=" + strconv.FormatUint(generation, 10),
	}, nil
}

// einhornEnviron also says who the parent is, and that this is the first and only
// worker: a program takes itself for Einhorn's by that.
func einhornEnviron(list []address, parent int) []string {
	env := []string{
		"EINHORN_MASTER_PID=" + strconv.Itoa(parent),
		"EINHORN_CHILD_INDEX=0",
		"EINHORN_FD_COUNT=" + strconv.Itoa(len(list)),
	}
	var all []string
	for i, a := range list {
		fd := strconv.Itoa(a.fd)
		env = append(env, fmt.Sprintf("EINHORN_FD_%d=%s", i, fd))
		all = append(all, fd)
	}
	return append(env, "EINHORN_FDS="+strings.Join(all, " "))
}
