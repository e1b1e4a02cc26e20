package systemdtest

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Machine is a running systemd in namespaces of its own. Its methods may be
// called from several goroutines, but those that return no error end a test
// that they fail, so they belong in the test's own goroutine.
type Machine struct {
	t        testing.TB
	group    string            // the cgroup that is the root of the machine's hierarchy
	pid      int               // its PID 1, as the host counts
	source   string            // the folder it was made from
	root     string            // its root folder, as the host reaches it
	programs map[string]string // the host's, by name
	version  int
	booted   bool
	reaper   *reaper
	console  *console
	network  *network

	exited chan struct{} // closed when PID 1 has ended
	exit   error         // how, once exited is closed

	commands atomic.Int64
	changed  atomic.Bool // units were written that systemd has not read
}

// Version is the machine's version of systemd, such as 257.
func (m *Machine) Version() int { return m.version }

// Dial connects from inside the machine's network. TCP and UDP addresses are
// literal, such as "127.0.0.1:80" or "[::1]:80": names would be looked up with
// the host's files. A Unix address is a path inside the machine, or abstract
// with a leading "@". Ending ctx ends a Dial that waits, and so does the end of
// the machine. The caller closes the connection, which outlives neither its
// peer nor the machine's. Dial fits the DialContext of an http.Transport.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if path, ok := socketPath(network, address); ok {
		resolved, err := resolve(m.root, path)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return dialPath(ctx, network, resolved)
	}
	return m.network.dial(ctx, network, address)
}

// Listen binds a stream socket in the machine's network, so that what runs
// there can connect to the test. Addresses are as for Dial, but for paths, which
// are net.Listen's business with Path. The caller closes the listener.
func (m *Machine) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if path, ok := socketPath(network, address); ok {
		return nil, &net.OpError{Op: "listen", Net: network, Err: fmt.Errorf("%s is a path: use net.Listen on Machine.Path", path)}
	}
	return m.network.listen(ctx, network, address)
}

// socketPath is a Unix address that is in the file system, and not in the
// network namespace as abstract ones are (unix(7)).
func socketPath(network, address string) (string, bool) {
	abstract := strings.HasPrefix(address, "@") || strings.HasPrefix(address, "\x00")
	return address, strings.HasPrefix(network, "unix") && !abstract
}

// dead says how PID 1 ended, or nil while it runs.
func (m *Machine) dead() error {
	select {
	case <-m.exited:
		return fmt.Errorf("the machine's PID 1 has ended: %w", m.exit)
	default:
		return nil
	}
}

// diagnosis is what helps to see why a machine, or a test in it, failed.
func (m *Machine) diagnosis() string {
	var b strings.Builder
	if err := m.dead(); err != nil {
		fmt.Fprintf(&b, "console:\n%s\n%v\n", strings.TrimSpace(m.console.rest()), err)
		return b.String()
	}
	fmt.Fprintf(&b, "console:\n%s\n", strings.TrimSpace(m.console.text()))
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, command := range [][]string{
		{"systemctl", "--failed", "--plain", "--no-legend", "--no-pager"},
		{"systemctl", "list-jobs", "--no-legend", "--no-pager"},
		{"journalctl", "-o", "short-monotonic", "-q", "-n", "200", "--no-pager"},
	} {
		out, err := m.run(ctx, command[0], command[1:]...)
		if err != nil {
			out += err.Error()
		}
		fmt.Fprintf(&b, "%s:\n%s\n", strings.Join(command, " "), strings.TrimSpace(out))
	}
	return b.String()
}

// end tears the machine down, as far as it came.
func (m *Machine) end() {
	if m.booted && m.t.Failed() {
		m.t.Logf("systemdtest: the machine of the failed test:\n%s", m.diagnosis())
	}
	if m.network != nil {
		m.network.close()
	}
	if err := m.reaper.reap(); err != nil {
		m.t.Errorf("systemdtest: %v", err)
	}
	if m.pid != 0 {
		<-m.exited
	}
	if m.console != nil {
		m.console.close()
	}
}
