package notify

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// address is where a manager listens, as sd_notify(3) writes it.
type address struct {
	text string
	// vsock tells the second form; unix paths are text itself.
	vsock bool
	kind  string // "", "stream", "dgram" or "seqpacket" for vsock
	cid   uint32
	port  uint32
}

// maxPath is the room in sockaddr_un, less the NUL that ends a path.
const maxPath = 107

func parseAddress(s string) (address, error) {
	a := address{text: s}
	switch {
	case strings.HasPrefix(s, "/"), strings.HasPrefix(s, "@"):
		if len(s) == 1 || strings.Contains(s, "\x00") {
			return a, fmt.Errorf("%w: %q is no socket's path", ErrInvalid, s)
		}
		room := maxPath
		if s[0] == '@' {
			room++ // the NUL that takes the place of '@' is the only one
		}
		if len(s) > room {
			return a, fmt.Errorf("%w: %q has %d bytes, a socket's path at most %d", ErrInvalid, s, len(s), room)
		}
		return a, nil
	case strings.HasPrefix(s, "vsock"):
		return parseVsock(s)
	}
	return a, fmt.Errorf("%w: %q, want an absolute path, @name or vsock:CID:PORT", ErrInvalid, s)
}

// parseVsock reads vsock:CID:PORT, and vsock-stream:, vsock-dgram: and
// vsock-seqpacket: alike.
func parseVsock(s string) (address, error) {
	a := address{text: s, vsock: true}
	scheme, rest, _ := strings.Cut(s, ":")
	cid, port, _ := strings.Cut(rest, ":")
	a.kind = strings.TrimPrefix(strings.TrimPrefix(scheme, "vsock"), "-")
	ok := scheme == "vsock"
	for _, kind := range []string{"stream", "dgram", "seqpacket"} {
		ok = ok || scheme == "vsock-"+kind
	}
	c, cidErr := strconv.ParseUint(cid, 10, 32)
	p, portErr := strconv.ParseUint(port, 10, 32)
	// The highest number is the wildcard of both, which is no destination.
	if !ok || cidErr != nil || portErr != nil || c == math.MaxUint32 || p == math.MaxUint32 {
		return a, fmt.Errorf("%w: %q, want vsock:CID:PORT", ErrInvalid, s)
	}
	a.cid, a.port = uint32(c), uint32(p)
	return a, nil
}
