package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

var socketRules = []Rule{
	{
		ID: "no-listen", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "A socket unit without any Listen option is not loaded. A drop-in that empties the list, and fills it in no more, makes it one.",
		Reason: "the socket is not loaded, so every client is refused",
		check:  (*checker).noListen,
	},
	{
		ID: "listen-invalid", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "An address that systemd cannot read is left out, and nobody listens there. Names of hosts are no addresses: not localhost:80, but 127.0.0.1:80.",
		Reason: "clients of that address are refused",
		check:  (*checker).listenInvalid,
	},
	{
		ID: "listen-twice", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "Two sockets cannot have one address. The second cannot be bound, and then the unit does not start at all; or it takes the path of the first, which no client reaches any more. A port alone is all of IPv6 and of IPv4, unless BindIPv6Only=ipv6-only. Drop-ins add to the list: an empty ListenStream= forgets what the unit file has.",
		Reason: "clients of one of the two addresses are refused",
		check:  (*checker).listenTwice, Issues: []int{11348},
	},
	{
		ID: "reuse-port", Severity: Unwise, Man: "socket(7)",
		Doc:    "With ReusePort=yes two socket units may have one address, and the kernel deals the connections out between their queues. A queue whose service is not running is served by nobody else, and stopping its socket resets those that wait in it.",
		Reason: "clients are lost only when one of the sockets is stopped",
		check:  (*checker).reusePort,
	},
	{
		ID: "flush-pending", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "With FlushPending=yes systemd throws away what has come in when the service has ended by itself or was stopped: who has connected meanwhile is cut. Only systemctl restart spares them.",
		Reason: "clients that wait in the queue are reset",
		check: func(c *checker) {
			for _, s := range c.listening() {
				if at, yes := s.yes("Socket", "FlushPending"); yes {
					c.report(s, at, "whoever connects while the service stops is cut when it has stopped", "FlushPending=no").
						set("Socket", "FlushPending", "no")
				}
			}
		},
	},
	{
		ID: "backlog-capped", Severity: Ineffective, Man: "systemd.socket(5)",
		Doc:    "The kernel bounds every Backlog= by net.core.somaxconn, and says nothing.",
		Reason: "the queue is as long as the kernel has it, whatever the unit says",
		check:  (*checker).backlogCapped,
	},
	{
		ID: "backlog-small", Severity: Unwise, Man: "listen(2)",
		Doc:    "Connections wait in the backlog while the service restarts. When it is full TCP clients wait for a retransmission, and clients of a Unix socket that do not block get EAGAIN.",
		Reason: "it takes more clients at once than fit, and most of those come through a second later",
		check:  (*checker).backlogSmall,
	},
	{
		ID: "address-not-yet", Severity: Loss, Man: "systemd.socket(5)", Issues: []int{19198},
		Doc:    "Sockets are bound early at boot, when an interface may not have its address yet. Binding to it then fails, and nothing tries again. FreeBind=yes binds all the same.",
		Reason: "after such a boot the socket has failed, and every client is refused",
		check:  (*checker).addressNotYet,
	},
	{
		ID: "socket-private-network", Severity: Loss, Man: "systemd.exec(5)",
		Doc:    "PrivateNetwork=yes in a socket unit binds its sockets in a network of their own, where no client is. In the service it is harmless: the sockets that it inherits stay where they were bound.",
		Reason: "no client reaches the socket",
		check:  (*checker).socketPrivateNetwork,
	},
	{
		ID: "socket-user-dynamic", Severity: Loss, Man: "systemd.socket(5)",
		Doc:    "The user of a DynamicUser=yes service exists only while it runs. A socket that is to belong to that user cannot be bound before.",
		Reason: "the socket fails, so every client is refused",
		check:  (*checker).socketUserDynamic,
	},
	{
		ID: "user-low-port", Severity: Loss, Man: "ip(7)",
		Doc:    "A user's manager may not bind ports below net.ipv4.ip_unprivileged_port_start, by default 1024. The system's may.",
		Reason: "the socket fails, so every client is refused",
		check:  (*checker).userLowPort,
	},
	{
		ID: "fd-name-invalid", Severity: Ineffective, Man: "systemd.socket(5)",
		Doc:    "A FileDescriptorName= with a colon, a control character or more than 255 bytes is ignored, and the program finds the socket under the unit's name.",
		Reason: "the program finds the socket under another name",
		check: func(c *checker) {
			for _, s := range c.sockets() {
				for _, o := range s.options { // it is not among those that systemd obeys
					if o.Section != "Socket" || o.Name != "FileDescriptorName" || validFDName(s.expand(o.Value)) {
						continue
					}
					c.report(s, o, fmt.Sprintf("systemd ignores the name %q: the program is told %q", o.Value, s.Name),
						"use at most 255 printable ASCII characters, and no colon")
				}
			}
		},
	},
	{
		ID: "datagram-buffer", Severity: Unwise, Man: "systemd.socket(5)",
		Doc:    "Datagrams that come while the service restarts wait in the receive buffer, and what comes when that is full is dropped. net.core.rmem_default is 208 KiB, which is some hundred datagrams.",
		Reason: "only a burst during a restart is dropped",
		check:  (*checker).datagramBuffer,
	},
	{
		ID: "trigger-limit", Severity: Unwise, Man: "systemd.socket(5)", Issues: []int{15633},
		Doc:    "A socket that starts services more often than TriggerLimitBurst= in TriggerLimitIntervalSec= fails, and stays shut until somebody starts it: with Accept=yes, 200 connections in 2 s are enough. From v255 on PollLimitBurst= slows it down before, unless it is the greater of the two.",
		Reason: "it takes a flood",
		check:  (*checker).triggerLimit,
	},
}

func (c *checker) noListen() {
	for _, s := range c.sockets() {
		if all, bad := addresses(s); len(all)+len(bad) == 0 {
			c.report(s, s.at("Socket", listenOptions...), "the socket listens on nothing, so systemd does not load it", "add ListenStream= or another Listen option")
		}
	}
}

func (c *checker) listenInvalid() {
	for _, s := range c.sockets() {
		_, bad := addresses(s)
		for _, o := range bad {
			c.report(s, o, fmt.Sprintf("systemd cannot read the address %q, so nobody listens there", o.Value),
				"write a port, an address and port such as 127.0.0.1:80 or [::1]:80, or a path of at most 107 bytes")
		}
	}
}

// overlaps calls f for each address of the pair that cannot be bound beside an earlier
// one, of the pair or of those that are checked with it; b is the later one, and in the
// socket unit s of the pair. shared says that both have ReusePort=yes.
func (c *checker) overlaps(f func(first, s *Unit, a, b address, shared bool)) {
	for _, s := range c.Sockets {
		for _, o := range c.clashes[s.Name] {
			f(o.first.unit, o.second.unit, o.first.address, o.second.address, o.shared)
		}
	}
}

// v6only reports whether a socket unit leaves IPv4 alone.
func v6only(s *Unit) bool {
	only, _ := parseBool(s.value("Socket", "BindIPv6Only"))
	return only || s.value("Socket", "BindIPv6Only") == "ipv6-only"
}

// reusable reports whether a socket may share its address.
func reusable(s *Unit) bool {
	_, yes := s.yes("Socket", "ReusePort")
	return yes
}

func (c *checker) listenTwice() {
	c.overlaps(func(first, s *Unit, a, b address, shared bool) {
		effect := "what comes second cannot be bound, and the socket fails"
		switch {
		case b.inet() && shared:
			return
		case b.file() && first == s && a.kind == b.kind: // the service has both
			return
		case b.file():
			effect = "what comes second takes the path, and nobody reaches the first"
		}
		c.report(s, b.at, fmt.Sprintf("%v clashes with %v at %s:%d: %s", b, a, a.at.File, a.at.Line, effect),
			"remove one of the two; in a drop-in, put an empty ListenStream= before the new address")
	})
}

func (c *checker) reusePort() {
	c.overlaps(func(first, s *Unit, a, b address, shared bool) {
		if shared && b.inet() && first != s {
			at, _ := s.yes("Socket", "ReusePort")
			c.report(s, at, fmt.Sprintf("%v is shared with %s: each queue has its own service, and stopping one resets those that wait in it", b, first.Name),
				"let one socket unit hold the address, and name it in Sockets= of each service")
		}
	})
}

// streams reports whether a socket unit has sockets that queue connections.
func streams(s *Unit) bool {
	return len(s.list("Socket", "ListenStream", "ListenSequentialPacket")) > 0
}

func (c *checker) backlogCapped() {
	for _, s := range c.sockets() {
		if o, ok := s.last("Socket", "Backlog"); ok && streams(s) && s.count(0, "Socket", "Backlog") > c.SomaxConn {
			c.report(s, o, fmt.Sprintf("net.core.somaxconn=%d bounds Backlog=%s", c.SomaxConn, o.Value),
				"raise net.core.somaxconn in sysctl.d(5), or lower Backlog=")
		}
	}
}

func (c *checker) backlogSmall() {
	const least = 128
	for _, s := range c.listening() {
		if o, ok := s.last("Socket", "Backlog"); ok && streams(s) && s.count(least, "Socket", "Backlog") < least {
			c.report(s, o, fmt.Sprintf("not more than about %s connections can wait while the service restarts", o.Value), "leave Backlog= out").
				set("Socket", "Backlog", fmt.Sprint(c.SomaxConn))
		}
	}
}

func (c *checker) addressNotYet() {
	for _, s := range c.sockets() {
		_, free := s.yes("Socket", "FreeBind")
		_, transparent := s.yes("Socket", "Transparent")
		_, online := s.names("Unit", "After")["network-online.target"]
		if free || transparent || online || s.value("Socket", "BindToDevice") != "" {
			continue
		}
		all, _ := addresses(s)
		for _, a := range all {
			if ip := a.ip.Addr(); a.inet() && !ip.IsUnspecified() && !ip.IsLoopback() && !toMany(ip) {
				c.report(s, a.at, fmt.Sprintf("at boot no interface may have the address %s yet: then the socket fails for good", ip), "FreeBind=yes").
					set("Socket", "FreeBind", "yes")
				break
			}
		}
	}
}

// toMany reports whether an address is a multicast or the broadcast one, which no
// interface needs to have.
func toMany(ip netip.Addr) bool {
	return ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (c *checker) socketPrivateNetwork() {
	for _, s := range c.sockets() {
		at, yes := s.yes("Socket", "PrivateNetwork")
		all, _ := addresses(s)
		reachable := slices.ContainsFunc(all, func(a address) bool { return a.inet() || strings.HasPrefix(a.path, "@") })
		if _, joins := s.last("Unit", "JoinsNamespaceOf"); yes && reachable && !joins {
			c.report(s, at, "the socket is bound in a network of its own, where no client reaches it", "PrivateNetwork=no here; in the service it does no harm").
				set("Socket", "PrivateNetwork", "no")
		}
	}
}

func (c *checker) socketUserDynamic() {
	service := c.service()
	if _, dynamic := service.yes("Service", "DynamicUser"); service == nil || !dynamic {
		return
	}
	user := service.value("Service", "User")
	if user == "" {
		prefix, _, _ := strings.Cut(base(service.Name), "@")
		user = prefix
	}
	for _, s := range c.sockets() {
		for _, name := range []string{"SocketUser", "SocketGroup"} {
			if o, ok := s.last("Socket", name); ok && s.expand(o.Value) == user {
				c.report(s, o, fmt.Sprintf("the user %s does not exist before the service runs, so the socket cannot be bound", user),
					"leave it out: the service inherits the socket open, whoever owns its path").set("Socket", name, "")
			}
		}
	}
}

func (c *checker) userLowPort() {
	for _, s := range c.sockets() {
		all, _ := addresses(s)
		for _, a := range all {
			if s.User && a.inet() && a.ip.Port() < 1024 {
				c.report(s, a.at, fmt.Sprintf("a user's manager may not bind port %d", a.ip.Port()),
					"use a port from 1024 on, make it a unit of the system, or lower net.ipv4.ip_unprivileged_port_start")
			}
		}
	}
}

// validFDName reports whether systemd takes s for the name of a descriptor.
func validFDName(s string) bool {
	return len(s) <= 255 && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' || c == ':' })
}

func (c *checker) datagramBuffer() {
	for _, s := range c.listening() {
		all, _ := addresses(s)
		i := slices.IndexFunc(all, func(a address) bool { return a.kind == "Datagram" && a.inet() })
		if _, ok := s.last("Socket", "ReceiveBuffer"); i >= 0 && !ok {
			c.report(s, all[i].at, "what comes while the service restarts waits in a buffer of the default size, and is dropped when that is full", "ReceiveBuffer=8M").
				set("Socket", "ReceiveBuffer", "8M")
		}
	}
}

func (c *checker) triggerLimit() {
	for _, s := range c.sockets() {
		if !accepts(s) {
			continue
		}
		trigger := s.rate("TriggerLimit", 200)
		poll := s.rate("PollLimit", 150)
		if c.Systemd < 255 {
			poll = 0
		}
		if trigger == 0 || poll != 0 && poll < trigger {
			continue
		}
		at := s.at("Socket", "TriggerLimitBurst", "TriggerLimitIntervalSec", "PollLimitBurst", "PollLimitIntervalSec", "Accept")
		c.report(s, at, fmt.Sprintf("%d connections in %v shut the socket until somebody starts it again",
			s.count(200, "Socket", "TriggerLimitBurst"), s.span(2e9, "Socket", "TriggerLimitIntervalSec")),
			"TriggerLimitIntervalSec=0, and MaxConnections= and MaxConnectionsPerSource= as the service can bear").
			set("Socket", "TriggerLimitIntervalSec", "0")
	}
}

// rate is a limit in events a second; 0 for none.
func (u *Unit) rate(limit string, burst int) float64 {
	interval := u.span(2e9, "Socket", limit+"IntervalSec")
	if interval <= 0 {
		return 0
	}
	return float64(u.count(burst, "Socket", limit+"Burst")) / interval.Seconds()
}
