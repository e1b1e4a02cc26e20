package check

import "net/netip"

// A bound is an address with the socket unit that has it.
type bound struct {
	unit *Unit
	address
	v6only, reusable bool // as its unit says
}

// An overlap is an address that cannot be bound beside the first.
type overlap struct {
	first, second bound
	shared        bool // both have ReusePort=yes
}

// A place is where addresses meet. Only those of one place can clash.
type place struct {
	kind, path string
	port       uint16
	ip         netip.Addr
	family     int // 4 or 6 stands for any address of it; 0 for ip alone
	v6only     bool
	reusable   bool
}

// overlaps finds the addresses of socket units that clash with an earlier one: for each
// the earliest, and the earliest that it shares by ReusePort=. The result is by the name
// of the later socket unit.
func overlaps(sockets []*Unit) map[string][]overlap {
	found := make(map[string][]overlap)
	first := make(map[place]int) // the index into all
	var all []bound
	for _, s := range sockets {
		addresses, _ := addresses(s)
		only, reuse := v6only(s), reusable(s)
		for _, a := range addresses {
			b := bound{s, a, only, reuse}
			clash, shared := -1, -1
			for _, p := range b.rivals() {
				i, ok := first[p]
				if !ok || !all[i].clashes(a, !only && !all[i].v6only) {
					continue
				}
				at := &clash
				if reuse && all[i].reusable {
					at = &shared
				}
				if *at < 0 || i < *at {
					*at = i
				}
			}
			for _, i := range []int{clash, shared} {
				if i >= 0 {
					found[s.Name] = append(found[s.Name], overlap{all[i], b, i == shared})
				}
			}
			for _, p := range b.places() {
				if _, ok := first[p]; !ok {
					first[p] = len(all)
				}
			}
			all = append(all, b)
		}
	}
	return found
}

// places are where later addresses look for b.
func (b bound) places() []place {
	p := place{kind: b.kind, v6only: b.v6only, reusable: b.reusable}
	switch {
	case b.other:
		return nil
	case b.file():
		return []place{{path: b.path, reusable: p.reusable}} // of whatever kind
	case b.path != "":
		p.path = b.path
		return []place{p}
	}
	p.port = b.ip.Port()
	exact, any := p, p
	exact.ip, any.family = b.ip.Addr(), family(b.ip.Addr())
	return []place{exact, any}
}

// rivals are the places of the addresses that b may clash with.
func (b bound) rivals() (all []place) {
	var here []place
	switch {
	case b.other:
		return nil
	case b.file():
		here = []place{{path: b.path}}
	case b.path != "":
		here = []place{{kind: b.kind, path: b.path}}
	case b.ip.Addr().IsUnspecified():
		here = []place{{kind: b.kind, port: b.ip.Port(), family: 4}, {kind: b.kind, port: b.ip.Port(), family: 6}}
	default:
		for _, ip := range []netip.Addr{b.ip.Addr(), netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			here = append(here, place{kind: b.kind, port: b.ip.Port(), ip: ip})
		}
	}
	for _, p := range here {
		for i := range 4 {
			p.v6only, p.reusable = i&1 != 0, i&2 != 0
			all = append(all, p)
		}
	}
	return all
}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return 4
	}
	return 6
}
