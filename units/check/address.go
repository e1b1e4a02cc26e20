package check

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-go/holdfast/units"
)

// An address is one that a socket unit listens on.
type address struct {
	at   units.Option
	kind string // "Stream", "Datagram" or "SequentialPacket"; for others what stands behind Listen

	path    string         // of a Unix socket or FIFO; abstract ones begin with @
	ip      netip.AddrPort // of an Internet socket
	anyHost bool           // a port alone: any address, of IPv6 and mostly of IPv4 too
	other   bool           // a vsock address, a message queue, and so on
}

// inet reports whether it is an Internet address.
func (a address) inet() bool { return a.path == "" && !a.other }

// file reports whether it has a path in the file system.
func (a address) file() bool { return strings.HasPrefix(a.path, "/") }

// listenOptions make up the list of what a socket unit listens on. An empty
// assignment to any of them forgets them all.
var listenOptions = []string{
	"ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenSpecial", "ListenNetlink",
	"ListenMessageQueue", "ListenUSBFunction",
}

// addresses returns what a socket unit listens on, and what in it is no address.
func addresses(socket *Unit) (all []address, bad []units.Option) {
	for _, o := range socket.list("Socket", listenOptions...) {
		if a, ok := parseAddress(strings.TrimPrefix(o.Name, "Listen"), socket.expand(o.Value)); ok {
			a.at = o
			all = append(all, a)
		} else {
			bad = append(bad, o)
		}
	}
	return all, bad
}

// parseAddress reads an address as systemd.socket(5) has it.
func parseAddress(kind, s string) (address, bool) {
	a := address{kind: kind}
	switch expanded, known := plainPercents(s); {
	case !known: // a specifier, or what is none
		a.other = true
		return a, readAs("STRING", s) != ignored
	default:
		s = expanded
	}
	switch kind {
	case "Stream", "Datagram", "SequentialPacket":
	case "FIFO":
		a.path = filepath.Clean(s)
		return a, normalPath(s)
	case "Netlink":
		a.other = true
		return a, isNetlink(s)
	case "Special":
		a.other = true
		return a, normalPath(s)
	default: // a path, too
		a.other = true
		return a, normalPath(s)
	}
	switch {
	case strings.HasPrefix(s, "@"):
		a.path = s
		return a, len(s) > 1 && len(s) < 108
	case strings.HasPrefix(s, "/"):
		a.path = filepath.Clean(s)
		return a, a.path != "/" && len(s) < 108
	case kind == "SequentialPacket": // of Unix sockets alone
		return a, false
	case strings.HasPrefix(s, "vsock"):
		a.other = true
		return a, strings.Count(s, ":") == 2
	}
	if port, ok := parsePort(s); ok {
		a.anyHost, a.ip = true, netip.AddrPortFrom(netip.IPv6Unspecified(), port)
		return a, true
	}
	colon := strings.LastIndexByte(s, ':')
	port, ok := parsePort(s[colon+1:])
	host, err := netip.ParseAddrPort(s[:colon+1] + "1")
	a.ip = netip.AddrPortFrom(host.Addr(), port)
	return a, ok && err == nil
}

// parsePort reads a port as systemd does: like C, where 0x50 and 0120 are 80.
func parsePort(s string) (uint16, bool) {
	port, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 0, 16)
	return uint16(port), err == nil && port > 0 && !strings.Contains(s, "_")
}

// netlinkFamilies are those that have a name in ListenNetlink=.
var netlinkFamilies = strings.Fields(`route firewall inet-diag nflog xfrm selinux iscsi audit fib-lookup connector
	netfilter ip6-fw dnrtmsg kobject-uevent generic scsitransport ecryptfs rdma`)

// isNetlink reports whether s is a netlink family and, maybe, a group of it.
func isNetlink(s string) bool {
	fields := strings.Fields(s)
	return (len(fields) == 1 || len(fields) == 2 && unsigned(fields[1])) &&
		(slices.Contains(netlinkFamilies, fields[0]) || integer(0, 1<<31-1)(fields[0]))
}

// clashes reports whether both cannot be reached at once. both says that the one or
// the other also takes IPv4 where it is bound to all of IPv6.
func (a address) clashes(b address, both bool) bool {
	switch {
	case a.other || b.other:
		return false
	case a.file() || b.file():
		return a.path == b.path
	case a.kind != b.kind:
		return false
	case a.path != "" || b.path != "":
		return a.path == b.path
	case a.ip.Port() != b.ip.Port():
		return false
	case a.ip.Addr() == b.ip.Addr():
		return true
	}
	x, y := a.ip.Addr(), b.ip.Addr()
	if x.Is6() == y.Is6() {
		return x.IsUnspecified() || y.IsUnspecified()
	}
	return both && (x.Is6() && x.IsUnspecified() || y.Is6() && y.IsUnspecified())
}

// String is the address as the unit has it.
func (a address) String() string { return a.at.Name + "=" + a.at.Value }
