package units

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-go/holdfast/"

// internal and daemon shorten the names in the table below.
const (
	internal = "handoff/internal/"
	daemon   = "handoff/handoffd/internal/"
)

// arrows says what each package of this module may import of this module. A
// package that is missing here fails the test, so whoever adds a package adds a
// row, and whoever adds an arrow reads the rows around it first. The walls are
// there so that each room can be used, and read, without the others. Tests may
// import what they like.
//
// Lowest floor first: a package imports from rows above its own only. An arrow that
// nobody uses any more fails the test, too.
var arrows = map[string][]string{
	// Two protocols of systemd. Neither knows the other, nor anything of ours.
	"activation":        nil,
	"notify":            nil,
	"notify/notifytest": {"notify"},

	// What programs may use without a Service.
	"handoff/keepalive": nil,
	"handoff/parcel":    nil,

	// The ground floor of handoff: pure, or one thing about the kernel.
	internal + "life":       nil,
	internal + "generation": nil,
	internal + "protocol":   nil,
	internal + "procnet":    nil,
	internal + "sockdiag":   nil,
	internal + "fd":         nil,
	internal + "fd/fdtest":  nil,
	internal + "sockets":    nil,
	internal + "tlstest":    nil,
	internal + "report":     {"handoff/parcel"},
	internal + "rotation":   {internal + "procnet", internal + "report", internal + "fd"},
	internal + "workers":    {internal + "procnet", "activation"},
	internal + "accepting":  {internal + "procnet", internal + "sockdiag", internal + "fd", "activation"},
	internal + "backlog":    {internal + "sockdiag", internal + "fd", "activation"},
	internal + "probe":      {internal + "accepting", internal + "sockdiag", internal + "report", internal + "fd", "activation"},
	internal + "vetting":    {internal + "accepting", internal + "probe"},
	internal + "control":    {internal + "fd"},

	// Where both sides of a service speak to the service manager.
	internal + "manager": {internal + "protocol", internal + "report", internal + "fd", "notify"},

	// The program's side. resource and fdstore do not know each other: what one
	// needs of the other is an interface declared where it is used.
	internal + "resource": {internal + "protocol", internal + "report", internal + "rotation", "handoff/keepalive", "handoff/parcel"},
	internal + "fdstore":  {internal + "protocol", internal + "report", internal + "fd", "handoff/parcel", "notify", "activation"},
	"handoff": {
		internal + "life", internal + "resource", internal + "fdstore", internal + "manager", internal + "rotation",
		internal + "report", internal + "protocol", internal + "sockets", "activation", "notify", "handoff/parcel",
	},

	// handoffd's side. Its parts do not know the supervisor that holds them.
	internal + "process":     {internal + "generation", internal + "fd", internal + "report", "activation"},
	internal + "storeserver": {internal + "protocol", internal + "fd", "activation", "notify"},
	internal + "reexec":      {internal + "generation", internal + "process", internal + "fd"},
	internal + "supervisor": {
		internal + "generation", internal + "process", internal + "storeserver", internal + "manager", internal + "reexec",
		internal + "rotation", internal + "workers", internal + "sockets", internal + "protocol", internal + "fd",
		internal + "report", internal + "vetting", internal + "accepting", internal + "probe", internal + "backlog",
		"activation", "notify", "handoff/parcel",
	},

	// The command. Only its daemon knows the supervisor.
	daemon + "daemon":  {internal + "supervisor", internal + "reexec", internal + "control"},
	daemon + "tools":   {"units", "units/check"},
	"handoff/handoffd": {daemon + "daemon", daemon + "tools", internal + "supervisor", internal + "control", internal + "rotation", "units", "units/check", "units/programs"},

	// Unit files, and what tests of services use.
	"units":                            nil,
	"units/check":                      {"units"},
	"units/programs":                   {"units"},
	"units/helpertest":                 nil,
	"units/leaktest":                   nil,
	"units/poll":                       nil,
	"units/loadtest":                   nil,
	"units/loadtest/cmd/loadtest":      {"units/loadtest"},
	"units/systemdtest":                {"units/systemdtest/internal/roots"},
	"units/systemdtest/internal/roots": nil,
	"units/systemdtest/mkroot":         {"units/systemdtest/internal/roots"},
}

// never lists arrows that no row may allow, whatever seems handy at the time.
// Directly or through others, the packages that begin with from must not reach
// the ones that begin with to.
var never = []struct{ from, to, because string }{
	{internal, "handoff", "an internal package that needs the Service is a part of it"},
	{internal + "resource", internal + "fdstore", "a kind of resource must work with any store; declare an interface in resource"},
	{internal + "fdstore", internal + "resource", "the store must work with any kind of resource; declare an interface in fdstore"},
	{internal + "process", internal + "supervisor", "a part must be tested without the whole"},
	{internal + "storeserver", internal + "supervisor", "a part must be tested without the whole"},
	{internal + "manager", internal + "supervisor", "a part must be tested without the whole"},
	{internal + "reexec", internal + "supervisor", "it must not know the fields of those that it carries"},
	{"activation", "notify", "a program may use one protocol without the other"},
	{"notify", "activation", "a program may use one protocol without the other"},
}

// foreign says which packages from outside the standard library a package may
// lean on. One that is not listed is free within go.mod.
var foreign = map[string][]string{
	"activation":            {"golang.org/x/sys/", "github.com/coreos/go-systemd/v22/"},
	"notify":                {"golang.org/x/sys/", "github.com/coreos/go-systemd/v22/"},
	"handoff/keepalive":     {},
	"handoff/parcel":        {"golang.org/x/sys/"},
	"handoff":               {"golang.org/x/sys/"},
	internal + "life":       {},
	internal + "generation": {},
	internal + "protocol":   {},
	internal + "resource":   {"golang.org/x/sys/"},
	internal + "fdstore":    {"golang.org/x/sys/"},
	internal + "supervisor": {"golang.org/x/sys/"},
}

func TestArrows(t *testing.T) {
	seen := map[string]bool{}
	used := map[[2]string]bool{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for room, imports := range listed(t, system) {
			seen[room] = true
			row, known := arrows[room]
			if !known {
				t.Errorf("%s is a new package: give it a row in the table arrows in units/arrows_test.go that says what of this module it may import", room)
				continue
			}
			for _, imp := range imports {
				to, ours := strings.CutPrefix(imp, module)
				used[[2]string{room, to}] = true
				switch only, limited := foreign[room]; {
				case ours && !slices.Contains(row, to):
					t.Errorf("%s must not import %s (%s): if this is a wall that should have a door, add it to the table arrows in units/arrows_test.go", room, to, system)
				case !ours && strings.Contains(imp, ".") && limited && !slices.ContainsFunc(only, func(p string) bool { return strings.HasPrefix(imp, p) }):
					t.Errorf("%s must not import %s (%s): see the table foreign in units/arrows_test.go", room, imp, system)
				}
			}
		}
	}
	for room, row := range arrows {
		if !seen[room] {
			t.Errorf("the table arrows has a row for %s, which does not exist", room)
		}
		for _, to := range row {
			if seen[room] && !used[[2]string{room, to}] {
				t.Errorf("the table arrows lets %s import %s, which it does not: a wall that is whole stays whole, so take the arrow out", room, to)
			}
		}
	}
}

// TestArrowsNever asks the table itself, since a row is easily widened.
func TestArrowsNever(t *testing.T) {
	for _, n := range never {
		for room := range arrows {
			if !strings.HasPrefix(room, n.from) {
				continue
			}
			for to := range reach(room) {
				if to == n.to {
					t.Errorf("the table arrows lets %s import %s, directly or through others: %s", room, to, n.because)
				}
			}
		}
	}
}

// reach returns the packages that room may import, directly or through others.
func reach(room string) map[string]bool {
	all := map[string]bool{}
	next := slices.Clone(arrows[room])
	for len(next) > 0 {
		to := next[0]
		next = next[1:]
		if !all[to] {
			all[to] = true
			next = append(next, arrows[to]...)
		}
	}
	return all
}

// listed returns the packages of this module, without examples, and what each
// imports where it is built for the operating system.
func listed(t *testing.T, system string) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...")
	list.Env = append(os.Environ(), "GOOS="+system)
	var stderr strings.Builder
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	rooms := map[string][]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			if len(rooms) == 0 {
				t.Fatal("go list found no package of this module")
			}
			return rooms
		case err != nil:
			t.Fatalf("what go list printed: %v", err)
		}
		if room, ours := strings.CutPrefix(p.ImportPath, module); ours && !strings.HasPrefix(room, "examples/") {
			rooms[room] = p.Imports
		}
	}
}
