// Package programs knows how programs that others wrote go behind handoffd: whether
// they take sockets, by which flag or line, what ends them, and what their clients see.
//
// The page README.md shows the table, and `handoffd unit --for NAME` renders units from
// it. What a row says was seen with Debian's package on a real systemd, and where it was
// not tried the row says so.
package programs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-go/holdfast/units"
)

// A Program is one row of the table.
type Program struct {
	Name  string // as --for takes it: "node-cluster"
	Title string // as people write it

	// Sockets says by which flag, variable or line of its configuration the program
	// takes its sockets, in Markdown.
	Sockets string
	// Cannot says why the program does not go behind handoffd, and what does instead, in
	// Markdown; "" if it does, or was not tried.
	Cannot string

	// Command is what handoffd runs where nobody gives a command. Where it is nil, one
	// has to: the program runs somebody's application.
	Command []string
	// Example is a command, for the page and for messages.
	Example string
	// environment returns the variables by which the program takes the sockets.
	environment func(sockets []units.Socket) ([]string, error)

	Ready        string        // as units.Description has it
	StopSignal   string        // "" is TERM
	Compat       string        // as units.Description has it
	PauseWorkers time.Duration // as units.Description has it
	JIT          bool          // as units.Description has it
	Unlinks      bool          // as units.Description has it

	Kept   string // what a client on a kept connection sees, in Markdown
	Native string // the program's own way of reloading, in Markdown

	Measured []Measured // on each systemd that it was tried on
}

// Measured is what clients lost in 10 reloads and 5 restarts with handoffd, and in as
// many in the program's own way, in the same run.
type Measured struct {
	Systemd          int
	Handoffd, Native Lost
}

// Lost are requests that failed, of those that were sent.
type Lost struct {
	New  Failed // each on a connection of its own
	Kept Failed // on connections that were kept
}

// Failed are requests that failed.
type Failed struct {
	Reloads, Restarts int // by what went on when they were sent
	Of                int // all that were sent
}

func (f Failed) String() string {
	if f.Of == 0 {
		return "not tried"
	}
	return fmt.Sprintf("%s + %s of %s", count(f.Reloads), count(f.Restarts), count(f.Of))
}

// count writes 12,345.
func count(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", count(n/1000), n%1000)
}

// All lists the table, in the order of the page.
func All() []Program {
	all := slices.Clone(table)
	for i, p := range all {
		all[i].Measured = measured[p.Name]
	}
	return all
}

// Names lists the names.
func Names() []string {
	var names []string
	for _, p := range table {
		names = append(names, p.Name)
	}
	return names
}

// Find returns the row of that name. An error lists the names there are.
func Find(name string) (Program, error) {
	all := All()
	i := slices.IndexFunc(all, func(p Program) bool { return p.Name == name })
	if i < 0 {
		return Program{}, fmt.Errorf("%q is not in the table: want one of %s", name, strings.Join(Names(), ", "))
	}
	return all[i], nil
}

// Describe fills into d what the program needs, and leaves what d says already. Of a
// command it needs the program's own words alone: the variables by which the program
// takes sockets are put before it. An error says why the program cannot be run behind
// handoffd, or what is missing.
func (p Program) Describe(d units.Description) (units.Description, error) {
	if p.Cannot != "" {
		return d, fmt.Errorf("%s cannot: %s", p.Title, p.Cannot)
	}
	switch d.Kind {
	case units.KindHandoffd, units.KindHandoffdSignal, units.KindDropIn:
	default:
		return d, fmt.Errorf("%s: the kind %s does without handoffd: want %s, %s or %s", p.Title, d.Kind, units.KindHandoffd, units.KindHandoffdSignal, units.KindDropIn)
	}
	if len(d.Command) == 0 {
		d.Command = p.Command
	}
	if len(d.Command) == 0 {
		return d, fmt.Errorf("%s: no command: give it after two dashes, as in -- %s", p.Title, p.Example)
	}
	d.Ready = cmp.Or(d.Ready, p.Ready)
	d.StopSignal = cmp.Or(d.StopSignal, p.StopSignal)
	d.Compat = cmp.Or(d.Compat, p.Compat)
	d.PauseWorkers = cmp.Or(d.PauseWorkers, p.PauseWorkers)
	d.JIT = d.JIT || p.JIT
	d.Unlinks = d.Unlinks || p.Unlinks
	if p.environment != nil {
		variables, err := p.environment(d.Sockets)
		if err != nil {
			return d, fmt.Errorf("%s: %w", p.Title, err)
		}
		// Not Environment=: ExecStartPre= would have it too, and no sockets.
		d.Command = slices.Concat([]string{"/usr/bin/env"}, variables, d.Command)
	}
	return d, nil
}

// firstSocket is the descriptor of the first socket (sd_listen_fds(3)).
const firstSocket = 3

// nginxSockets is nginx's own variable, by which an old nginx leaves sockets to a new
// one. It finds out their addresses itself.
func nginxSockets(sockets []units.Socket) ([]string, error) {
	var value strings.Builder
	for i := range max(len(sockets), 1) {
		fmt.Fprintf(&value, "%d;", firstSocket+i)
	}
	return []string{"NGINX=" + value.String()}, nil
}

// fpmSockets is the same of PHP's FPM, which wants to be told the addresses as its
// pools write them in listen=.
func fpmSockets(sockets []units.Socket) ([]string, error) {
	if len(sockets) == 0 {
		return nil, errors.New("it is told its sockets by their addresses: give each as --listen NAME=ADDRESS, as listen= in its pool has it")
	}
	var pairs []string
	for i, s := range sockets {
		pairs = append(pairs, fmt.Sprintf("%s=%d", strings.TrimPrefix(s.Address, ":"), firstSocket+i))
	}
	return []string{"FPM_SOCKETS=" + strings.Join(pairs, ",")}, nil
}
