package units

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Kind says what a pair of units is for.
type Kind string

const (
	// KindSocket is a service that inherits its sockets and keeps nothing else.
	KindSocket Kind = "socket"
	// KindStore is a service that also leaves connections and state in the fd store
	// when it stops (package handoff does).
	KindStore Kind = "store"
	// KindHandoffd is a program under handoffd, reloaded by `systemctl reload`,
	// which tells whether the new one serves.
	KindHandoffd Kind = "handoffd"
	// KindHandoffdSignal is the same by Type=notify-reload: it takes systemd 253,
	// and a reload that was undone looks like one that was done.
	KindHandoffdSignal Kind = "handoffd-signal"
	// KindAccept is a program that is started for each connection, which is its
	// standard input and output.
	KindAccept Kind = "accept"
	// KindContainer is a container that inherits its sockets: a Podman quadlet. It
	// takes Podman 4.4, which is newer than that of Debian 12.
	KindContainer Kind = "container"
	// KindDropIn is a drop-in that puts handoffd around a service that is there.
	KindDropIn Kind = "drop-in"
)

// Kinds lists the kinds there are.
var Kinds = []Kind{KindHandoffd, KindHandoffdSignal, KindStore, KindSocket, KindAccept, KindContainer, KindDropIn}

// handoffd reports whether handoffd is the service's main process.
func (k Kind) handoffd() bool {
	return k == KindHandoffd || k == KindHandoffdSignal || k == KindDropIn
}

// About says in a line what the kind is for.
func (k Kind) About() string { return about[k] }

var about = map[Kind]string{
	KindHandoffd:       "a program under handoffd; \"systemctl reload\" says whether the new one serves",
	KindHandoffdSignal: "the same by Type=notify-reload (systemd 253): a reload always succeeds",
	KindStore:          "a service that leaves connections and state in the fd store, as package handoff does",
	KindSocket:         "a service that inherits its sockets, and keeps nothing else",
	KindAccept:         "a program that is started for each connection (Accept=yes)",
	KindContainer:      "a container that inherits its sockets, as a quadlet (Podman 4.4); PROGRAM is the image",
	KindDropIn:         "a drop-in that puts handoffd around a service that is there; sockets where it has none",
}

// A Description is what Render needs to know. Name, Kind and Command must be given,
// and Sockets but for a drop-in around a unit that has its sockets already.
type Description struct {
	// Name is that of the units without ".service". A drop-in may be for an instance,
	// "postgresql@15-main", or for a template, "postgresql@".
	Name string
	Kind Kind
	// Sockets are what the service listens on.
	Sockets []Socket
	// Command is the program and its arguments, as the program is to see them:
	// nothing in it is a variable, a specifier or a quote to systemd. The program is
	// an absolute path, or a name that systemd looks up. For KindContainer it is the
	// image, and then the container's arguments. In a drop-in for a template %i and %I
	// are the instance.
	Command []string
	// Ready says what makes the program ready, as the flag --ready of `handoffd run`:
	// "notify" (READY=1), which is the default, "exec" or, with handoffd, "accept" or
	// "alive:DURATION".
	Ready string
	// Compat is for a program of start_server ("server-starter") or Einhorn ("einhorn"),
	// as the flag --compat of `handoffd run`. Ready is "alive:1s" then, unless given.
	Compat string
	// StopSignal tells the program to end, as "QUIT" or "RTMIN+3"; SIGTERM. It takes handoffd.
	StopSignal string
	// PauseWorkers is how long that may wait for workers to be without a connection, as
	// the flag --pause-workers of `handoffd run`; 0 is not at all.
	PauseWorkers time.Duration
	// ReadyTimeout is how long the program may take until it is ready; 90 s.
	ReadyTimeout time.Duration
	// DrainTimeout is how long the program may take to end after it was told to;
	// 60 s with handoffd, else 20 s.
	DrainTimeout time.Duration
	// Watchdog is the longest silence of a program that sends WATCHDOG=1; 0 is for
	// one that does not.
	Watchdog time.Duration
	// Store is how many descriptors the program may leave in the fd store; 64 with
	// handoffd, 16 for KindStore.
	Store int
	// Handoffd is the path of handoffd; /usr/local/bin/handoffd.
	Handoffd string
	// Systemd is the oldest version that the units are for; 247, which is also the
	// oldest there is. What a later one adds is used from that version on.
	Systemd int
	// JIT is for a program that makes code as it runs, as Java and Node.js do: the
	// sandbox lets it.
	JIT bool
	// Unlinks is for a program that removes the paths of its Unix sockets when it ends,
	// as PHP-FPM does: the service is kept from it. The paths are those in Sockets.
	Unlinks bool
	// User makes them units of a user's manager (systemctl --user).
	User bool
	// Around is what the unit says that a drop-in is for, its own drop-ins merged into
	// it in the order in which systemd reads them. The drop-in then resets what fights
	// with handoffd and says what was there. Where Around is nil the unit isn't known:
	// what fights most often is reset.
	Around []Option
}

// A Socket is what one Listen line of a socket unit says.
type Socket struct {
	// Name is that by which the program knows it (FileDescriptorName=). Sockets may
	// share one.
	Name string
	// Network is "tcp", "udp", "unix" or "unixgram".
	Network string
	// Address is IP:PORT or :PORT, or an absolute path, or @NAME for a Unix socket
	// without a path. A path may begin with %t/, the folder of runtime files.
	Address string
}

// oldest is the oldest systemd that the pairs are for.
const oldest = 247

// maxPath bounds the path of a Unix socket: systemd ignores a longer one.
const maxPath = 107

// maxStore bounds what a service may store: each entry costs systemd time.
const maxStore = 4096

// withDefaults fills in what d leaves out, and says what is wrong with it.
func (d Description) withDefaults() (Description, error) {
	set := func(at *time.Duration, value time.Duration) {
		if *at == 0 {
			*at = value
		}
	}
	drain, store := 20*time.Second, 0
	switch {
	case d.Kind.handoffd():
		drain, store = 60*time.Second, 64
	case d.Kind == KindStore:
		store = 16
	}
	set(&d.DrainTimeout, drain)
	set(&d.ReadyTimeout, 90*time.Second)
	if d.Store == 0 {
		d.Store = store
	}
	if d.Ready == "" {
		d.Ready = d.usualReady()
	}
	if d.Handoffd == "" {
		d.Handoffd = "/usr/local/bin/handoffd"
	}
	if d.Systemd == 0 {
		d.Systemd = oldest
	}
	return d, d.check()
}

// usualReady is what handoffd waits for without the flag --ready.
func (d Description) usualReady() string {
	if d.Compat != "" {
		return "alive:1s"
	}
	return "notify"
}

// check says what is wrong with a description.
func (d Description) check() error {
	alive, isAlive := strings.CutPrefix(d.Ready, "alive:")
	switch {
	case !slices.Contains(Kinds, d.Kind):
		return fmt.Errorf("the kind %q: want one of %v", d.Kind, Kinds)
	case !validUnitName(d.plainName()):
		return fmt.Errorf("the name %q: want letters, digits and :-_. without .service, at most %d (systemd.unit(5))", d.Name, maxName)
	case strings.HasSuffix(d.Name, ".service") || strings.HasSuffix(d.Name, ".socket"):
		return fmt.Errorf("the name %q: want it without %s", d.Name, path.Ext(d.Name))
	case d.Systemd < oldest:
		return fmt.Errorf("systemd %d: want %d or later", d.Systemd, oldest)
	case d.Kind == KindHandoffdSignal && d.Systemd < 253:
		return fmt.Errorf("the kind %s takes systemd 253 or later, and the units are to work with %d", d.Kind, d.Systemd)
	case d.Ready != "notify" && d.Ready != "exec" && d.Ready != "accept" && !isAlive:
		return fmt.Errorf("ready %q: want notify, accept, exec or alive:DURATION", d.Ready)
	case (isAlive || d.Ready == "accept") && !d.Kind.handoffd():
		return fmt.Errorf("ready %q: only handoffd waits for it, and the kind is %s", d.Ready, d.Kind)
	case d.Compat != "" && d.Compat != "server-starter" && d.Compat != "einhorn":
		return fmt.Errorf("compat %q: want server-starter or einhorn", d.Compat)
	case d.Compat != "" && !d.Kind.handoffd():
		return fmt.Errorf("compat %q: only handoffd does that, and the kind is %s", d.Compat, d.Kind)
	case d.StopSignal != "" && !d.Kind.handoffd():
		return fmt.Errorf("the stop signal %q: only handoffd sends it, and the kind is %s", d.StopSignal, d.Kind)
	case strings.ContainsFunc(d.StopSignal, func(c rune) bool { return !('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '-') }):
		return fmt.Errorf("the stop signal %q: want a name such as QUIT or RTMIN+3", d.StopSignal)
	case d.PauseWorkers != 0 && !d.Kind.handoffd():
		return fmt.Errorf("workers that pause for %v: only handoffd does that, and the kind is %s", d.PauseWorkers, d.Kind)
	case d.PauseWorkers != 0 && d.PauseWorkers >= d.DrainTimeout:
		return fmt.Errorf("workers that pause for %v: want less than the drain timeout, %v", d.PauseWorkers, d.DrainTimeout)
	case d.Unlinks && !d.Kind.handoffd():
		return fmt.Errorf("paths that stay: only handoffd has generations that end, and the kind is %s", d.Kind)
	case d.Watchdog != 0 && d.Ready != "notify":
		return fmt.Errorf("a watchdog is for a program that sends WATCHDOG=1, and ready is %q", d.Ready)
	case d.Store < 0 || d.Store > maxStore:
		return fmt.Errorf("a store of %d descriptors: want 1 to %d", d.Store, maxStore)
	case d.Store > 0 && d.Kind != KindStore && !d.Kind.handoffd():
		return fmt.Errorf("a store is for the kind %s and those with handoffd, and the kind is %s", KindStore, d.Kind)
	case !path.IsAbs(d.Handoffd):
		return fmt.Errorf("handoffd %q: want an absolute path", d.Handoffd)
	}
	if isAlive {
		if t, err := time.ParseDuration(alive); err != nil || t <= 0 {
			return fmt.Errorf("ready %q: want a duration above 0", d.Ready)
		}
	}
	for _, t := range []struct {
		name  string
		value time.Duration
	}{{"ready timeout", d.ReadyTimeout}, {"drain timeout", d.DrainTimeout}, {"pause of workers", d.PauseWorkers}, {"watchdog", d.Watchdog}} {
		if t.value < 0 || t.value > 365*24*time.Hour || t.value%time.Millisecond != 0 {
			return fmt.Errorf("the %s %v: want a duration of at most a year, in milliseconds", t.name, t.value)
		}
	}
	return errors.Join(d.checkCommand(), d.checkSockets(), d.checkAround())
}

func (d Description) checkSockets() error {
	if len(d.Sockets) == 0 {
		if d.Kind == KindDropIn {
			return nil
		}
		return errors.New("no socket: want at least one, such as http=:8080")
	}
	if d.plainName() != d.Name && len(d.names()) > 1 {
		return fmt.Errorf("the name %q: the sockets of an instance are one unit, and these are the names of several: %q", d.Name, d.names())
	}
	for i, s := range d.Sockets {
		if err := s.check(); err != nil {
			return err
		}
		if j := slices.IndexFunc(d.Sockets[:i], s.clashes); j >= 0 {
			return fmt.Errorf("socket %q: the address %q clashes with %q of socket %q: only one of the two can be bound", s.Name, s.Address, d.Sockets[j].Address, d.Sockets[j].Name)
		}
		if d.Kind == KindAccept && !s.stream() {
			return fmt.Errorf("socket %q: the kind %s takes connections, and %s has none", s.Name, d.Kind, s.Network)
		}
	}
	if d.Kind == KindAccept && len(d.names()) > 1 {
		return fmt.Errorf("the kind %s has one socket unit, since with Accept=yes there is no Service=, and these are the names of several: %q: want a pair for each", d.Kind, d.names())
	}
	return nil
}

// names lists the names of the sockets, each once.
func (d Description) names() []string {
	var names []string
	for _, s := range d.Sockets {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

func (s Socket) stream() bool { return s.Network == "tcp" || s.Network == "unix" }
func (s Socket) unix() bool   { return s.Network == "unix" || s.Network == "unixgram" }

// clashes reports whether systemd cannot bind both: a port alone is all of IPv6, and
// that takes IPv4 too.
func (s Socket) clashes(t Socket) bool {
	if s.unix() && t.unix() {
		return path.Clean(s.Address) == path.Clean(t.Address)
	}
	if s.Network != t.Network {
		return false
	}
	a, b := s.addrPort(), t.addrPort()
	x, y := a.Addr(), b.Addr()
	all := func(x, y netip.Addr) bool { return x.IsUnspecified() && (x.Is6() || y.Is4()) }
	return a.Port() == b.Port() && (x == y || all(x, y) || all(y, x))
}

// addrPort is the address of a TCP or UDP socket; the zero value where it is none.
func (s Socket) addrPort() netip.AddrPort {
	host := ""
	if strings.HasPrefix(s.Address, ":") {
		host = "[::]"
	}
	a, _ := netip.ParseAddrPort(host + s.Address)
	return a
}

func (s Socket) check() error {
	if s.Name == "" || len(s.Name) > 255 || strings.ContainsFunc(s.Name, func(c rune) bool { return c < ' ' || c > '~' || c == ':' }) || strings.TrimSpace(s.Name) != s.Name {
		return fmt.Errorf("socket %q: the name may have at most 255 printable ASCII characters, and no colon", s.Name)
	}
	_, err := s.listen()
	if err != nil {
		return fmt.Errorf("socket %q: %w", s.Name, err)
	}
	return nil
}

// listen is the value of ListenStream= or ListenDatagram= (systemd.socket(5)).
func (s Socket) listen() (string, error) {
	switch s.Network {
	case "unix", "unixgram":
		runtime, ok := strings.CutPrefix(s.Address, "%t/")
		switch {
		case !oneLine(s.Address):
			return "", fmt.Errorf("the address %q: want text on one line, without blanks around it", s.Address)
		case len(s.Address) > maxPath:
			return "", fmt.Errorf("the address %q: want at most %d bytes (unix(7))", s.Address, maxPath)
		case ok && runtime != "":
			return "%t/" + specifiers(runtime), nil
		case len(s.Address) > 1 && (path.IsAbs(s.Address) || s.Address[0] == '@'):
			return specifiers(s.Address), nil
		}
		return "", fmt.Errorf("the address %q: want an absolute path, or @NAME", s.Address)
	case "tcp", "udp":
	default:
		return "", fmt.Errorf("the network %q: want tcp, udp, unix or unixgram", s.Network)
	}
	if port, ok := strings.CutPrefix(s.Address, ":"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("the address %q: want a port from 1 to 65535", s.Address)
		}
		return port, nil
	}
	a := s.addrPort()
	if a.Port() == 0 || a.Addr().Zone() != "" {
		return "", fmt.Errorf("the address %q: want :PORT, or IP:PORT with an address in digits, such as 127.0.0.1:80 or [::1]:80", s.Address)
	}
	return a.String(), nil
}
